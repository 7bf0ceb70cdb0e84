package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"

	literaturev1 "nullius.dev/proto/gen/nullius/literature/v1"
	"nullius.dev/services/ideation"
)

// measureList imports made-up papers and searches them.
func measureList(ctx context.Context, papers, queries int) (err error) {
	dir, err := os.MkdirTemp("", "nullius-list-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file, list := filepath.Join(dir, "papers.jsonl"), filepath.Join(dir, "papers.sqlite")
	rng := rand.New(rand.NewPCG(1, 2))
	words := newVocabulary(rng)
	if err := writePapers(file, papers, words); err != nil {
		return err
	}
	begin := time.Now()
	got, err := ideation.Import(ctx, list, file, "", "made up")
	if err != nil {
		return err
	}
	took := time.Since(begin)
	st, err := os.Stat(list)
	if err != nil {
		return err
	}
	fmt.Printf("%d papers: imported in %s, %d MB\n", got.Total, took.Round(100*time.Millisecond), st.Size()/1e6)
	return serve(ctx, func(c *ideation.Config) { c.Index, c.Offline = list, true }, judge{}, func(conn *grpc.ClientConn) error {
		c := literaturev1.NewLiteratureServiceClient(conn)
		for _, n := range []int{2, 4, 8} {
			times, work := make([]time.Duration, queries), make([]time.Duration, queries)
			for i := range times {
				begin, worked := time.Now(), processor()
				if err := search(ctx, c, words.query(n)); err != nil {
					return err
				}
				times[i], work[i] = time.Since(begin), processor()-worked
			}
			slices.Sort(times)
			slices.Sort(work)
			fmt.Printf("search for %d words: p50 %s, p99 %s, slowest %s; of a processor p50 %s, p99 %s\n", n,
				ms(times[queries/2]), ms(times[queries*99/100]), ms(times[queries-1]), ms(work[queries/2]), ms(work[queries*99/100]))
		}
		fmt.Printf("memory of the process at most: %d MB\n", peak()/1e6)
		return nil
	})
}

// processor is what this process has used of processors, which other work on the machine changes little.
func processor() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

func search(ctx context.Context, c literaturev1.LiteratureServiceClient, q string) error {
	s, err := c.SearchPapers(ctx, &literaturev1.SearchPapersRequest{Query: q, Engine: "local"})
	if err != nil {
		return err
	}
	for {
		if _, err := s.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// vocabulary is made-up words, of which few are common and most are rare, as in any language.
type vocabulary struct {
	words []string
	zipf  *rand.Zipf
}

func newVocabulary(rng *rand.Rand) *vocabulary {
	v := &vocabulary{zipf: rand.NewZipf(rng, 1.1, 8, 49_999)}
	const vowels, consonants = "aeiou", "bcdfghjklmnprstvz"
	for range 50_000 {
		var b strings.Builder
		for range 2 + rng.IntN(3) {
			b.WriteByte(consonants[rng.IntN(len(consonants))])
			b.WriteByte(vowels[rng.IntN(len(vowels))])
		}
		v.words = append(v.words, b.String()+string(consonants[rng.IntN(len(consonants))]))
	}
	return v
}

func (v *vocabulary) text(n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = v.words[v.zipf.Uint64()]
	}
	return strings.Join(out, " ")
}

// stopped is how many of the most common words nobody asks for: they are what stop words are in a language.
const stopped = 40

func (v *vocabulary) query(n int) string {
	out := make([]string, 0, n)
	for len(out) < n {
		if i := v.zipf.Uint64(); i >= stopped {
			out = append(out, v.words[i])
		}
	}
	return strings.Join(out, " ")
}

func writePapers(file string, n int, v *vocabulary) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	e := json.NewEncoder(w)
	for i := range n {
		err := e.Encode(map[string]any{
			"title": v.text(9), "authors": []string{"Ada " + v.text(1), "Bo " + v.text(1), "Cy " + v.text(1)}, "year": 1990 + i%35, "venue": "Journal of " + v.text(2),
			"kind": "journal", "doi": fmt.Sprintf("10.5555/b%d", i), "abstract": v.text(170),
		})
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

// peak is the most memory that this process had, in bytes; 0 where the kernel does not tell.
func peak() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmHWM:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64) // the kernel writes digits
			return kib << 10
		}
	}
	return 0
}
