package sandbox

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// tree writes files as the kernel shows them.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const calm = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"

// TestGroup2_accounts on files as the kernel writes them (Documentation/admin-guide/cgroup-v2.rst, Documentation/accounting/psi.rst).
func TestGroup2_accounts(t *testing.T) {
	stalls := map[string]string{
		"cpu.pressure":    "some avg10=1.53 avg60=0.87 avg300=0.21 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=100\n",
		"memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=700\n",
		"io.pressure":     "some avg10=9.10 avg60=4.00 avg300=1.00 total=30000001\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n",
	}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		for _, m := range []map[string]string{stalls, more} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	told := &Stalls{CPU: 2500 * time.Millisecond, Memory: 1500 * time.Microsecond, IO: 30*time.Second + time.Microsecond}
	for name, c := range map[string]struct {
		files map[string]string
		want  Usage
	}{
		"two devices": {with(map[string]string{"io.stat": "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n259:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=512 dios=1\n"}),
			Usage{IO: &IO{1463296, 314781696}, Stalled: told}},
		"counters of other controllers beside them":      {map[string]string{"io.stat": "254:0 rbytes=1 wbytes=2 rios=1 wios=1 dbytes=0 dios=0 cost.vrate=100.00 cost.usage=3\n8:0 \n"}, Usage{IO: &IO{1, 2}}},
		"nothing went to a device":                       {map[string]string{"io.stat": ""}, Usage{IO: &IO{}}},
		"no controller of io, which pressure needs not":  {stalls, Usage{Stalled: told}},
		"a kernel without pressure":                      {map[string]string{"io.stat": "8:0 rbytes=5 wbytes=6\n"}, Usage{IO: &IO{5, 6}}},
		"one pressure file is missing":                   {map[string]string{"cpu.pressure": calm, "io.pressure": calm}, Usage{}},
		"nobody waited":                                  {map[string]string{"cpu.pressure": calm, "io.pressure": calm, "memory.pressure": calm}, Usage{Stalled: &Stalls{}}},
		"old kernels have no full of cpu":                {map[string]string{"cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n", "io.pressure": calm, "memory.pressure": calm}, Usage{Stalled: &Stalls{CPU: 7 * time.Microsecond}}},
		"pressure that cannot be read is none, not zero": {map[string]string{"cpu.pressure": "full avg10=0.00 total=7\n", "io.pressure": calm, "memory.pressure": calm}, Usage{}},
		"nothing": {nil, Usage{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (&group2{dir: tree(t, c.files)}).usage(); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v (io %+v, stalled %+v), want %+v (io %+v, stalled %+v)", got, got.IO, got.Stalled, c.want, c.want.IO, c.want.Stalled)
			}
		})
	}
}

func TestIO_most(t *testing.T) {
	a, b := &IO{1, 20}, &IO{10, 2}
	for _, c := range []struct{ a, b, want *IO }{{nil, nil, nil}, {a, nil, a}, {nil, b, b}, {a, b, &IO{10, 20}}} {
		if got := c.a.most(c.b); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v and %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// TestProcessorTime on this process; who is gone has used nothing.
func TestProcessorTime(t *testing.T) {
	for until := time.Now().Add(time.Minute); processorTime([]int{os.Getpid(), 1 << 30}) == 0; {
		if time.Now().After(until) {
			t.Fatal("a minute of work is not counted")
		}
	}
}
