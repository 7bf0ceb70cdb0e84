package executor

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

// TestLogStream_messages: whole lines where there are some, none longer than 16 KiB, and nothing twice or missing within an interval's budget.
func TestLogStream_messages(t *testing.T) {
	long := strings.Repeat("x", logChunk-1)
	for name, c := range map[string]struct {
		writes []string // "tick" is an interval
		want   []string
	}{
		"a line by pieces":             {[]string{"a", " ", "b", "\n", "tick"}, []string{"a b\n"}},
		"a line that comes late":       {[]string{"loss: ", "tick", "0.5\n", "tick"}, []string{"loss: 0.5\n"}},
		"a line that does not end":     {[]string{"loss: ", "tick", "tick", "0.5\n", "tick"}, []string{"loss: ", "0.5\n"}},
		"whole lines and a beginning":  {[]string{"a\nb\nc", "tick", "d\n", "tick"}, []string{"a\nb\n", "cd\n"}},
		"nothing":                      {[]string{"tick", "tick"}, nil},
		"what is left at the end":      {[]string{"a"}, []string{"a"}},
		"a line that just fits":        {[]string{long + "\n", "tick"}, []string{long + "\n"}},
		"a line that is too long":      {[]string{long + "yyy\n", "tick"}, []string{long + "y", "yy\n"}},
		"short lines beyond a message": {[]string{"a\n" + long + "\nb\n", "tick"}, []string{"a\n", long + "\n", "b\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			var next uint64
			l := newLogStream(func(b []byte) {
				m := &executorv1.LogChunk{}
				if err := proto.Unmarshal(b, m); err != nil || m.GetOffset() != next || len(m.GetData()) > logChunk {
					t.Errorf("%d bytes at %d, want %d: %v", len(m.GetData()), m.GetOffset(), next, err)
				}
				next += uint64(len(m.GetData()))
				got = append(got, string(m.GetData()))
			}, 1, executorv1.LogChunk_STDOUT)
			for _, w := range c.writes {
				if w == "tick" {
					l.tick()
				} else if n, err := l.Write([]byte(w)); n != len(w) || err != nil {
					t.Fatal(n, err)
				}
			}
			l.mu.Lock()
			l.flush(len(l.pending))
			l.mu.Unlock()
			if strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("%.100q, want %.100q", got, c.want)
			}
		})
	}
}
