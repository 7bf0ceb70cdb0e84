package main

import (
	"strings"
	"testing"
	"time"
)

func at(ms int) time.Time { return time.UnixMilli(int64(ms)) }

func TestCallsInARowAreTheLongestChain(t *testing.T) {
	tests := []struct {
		name  string
		calls [][2]int // begin and end
		want  int
	}{
		{"none", nil, 0},
		{"one after the other", [][2]int{{0, 1}, {1, 2}, {3, 4}}, 3},
		{"side by side", [][2]int{{0, 5}, {1, 6}, {2, 7}}, 1},
		{"five at once between two", [][2]int{{0, 1}, {2, 5}, {2, 5}, {2, 6}, {2, 5}, {3, 5}, {6, 7}}, 3},
		{"a long one beside a chain", [][2]int{{0, 100}, {0, 1}, {2, 3}, {4, 5}}, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var calls []call
			for _, c := range tt.calls {
				calls = append(calls, call{begin: at(c[0]), end: at(c[1])})
			}
			if got := inARow(calls); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}

func TestABeginningIsCacheableFrom1024TokensInStepsOf128(t *testing.T) {
	long := strings.Repeat("abcd", 1300)
	tests := []struct {
		name    string
		prompt  string
		earlier []string
		want    int
	}{
		{"nothing before", long, nil, 0},
		{"too short", long[:4000], []string{long}, 0},
		{"whole steps", long + "x", []string{"y", long}, 1280},
		{"the best of several", long, []string{long[:4200] + "z", long[:5000] + "z", "q"}, 1152},
		{"differs in its first byte", long, []string{"x" + long}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := cacheable(tt.prompt, tt.earlier); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}

func TestCallsThatFlyTogetherShareNoCache(t *testing.T) {
	p := strings.Repeat("same", 2000)
	got := shares([]call{{at(0), at(10), p}, {at(5), at(15), p}, {at(12), at(20), p}})
	if got[0] != 0 || got[1] != 0 || got[2] != 1920 {
		t.Errorf("%v", got)
	}
}

func TestEachCallGetsASpanOfItsOwn(t *testing.T) {
	chat := func(from, to int, call string) span {
		return span{Start: at(from).UnixNano(), End: at(to).UnixNano(), Attributes: map[string]any{"nullius.step": "writing/draft", "nullius.call": call}}
	}
	spans := []span{{Name: "nullius.writer.v1.WriterService/WritePaper", Start: 0, End: at(100).UnixNano()}, chat(1, 20, "a"), chat(2, 12, "b"), chat(30, 40, "c")}
	got := name([]call{{begin: at(3), end: at(10)}, {begin: at(4), end: at(11)}, {begin: at(50), end: at(60)}}, spans)
	if got[0].text("nullius.call") != "b" || got[1].text("nullius.call") != "a" || got[2].Name != "" || got[2].text("nullius.step") != "" {
		t.Errorf("%v", got)
	}
}

func TestTimeBeforeAMomentIsCutThere(t *testing.T) {
	busy := []interval{{at(0), at(10)}, {at(20), at(30)}, {at(40), at(50)}}
	for until, want := range map[int]time.Duration{0: 0, 5: 5 * time.Millisecond, 25: 15 * time.Millisecond, 100: 30 * time.Millisecond} {
		if got := within(busy, at(until)); got != want {
			t.Errorf("until %d: %v, want %v", until, got, want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var d []time.Duration
	for i := range 100 {
		d = append(d, time.Duration(100-i))
	}
	if got := quantile(d, 0.99); got != 100 {
		t.Errorf("p99 is %d", got)
	}
	if got := quantile(d, 0.5); got != 51 {
		t.Errorf("p50 is %d", got)
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
}

func TestAPromptIsItsMessagesInOrder(t *testing.T) {
	got := promptOf([]byte(`{"model":"m","messages":[{"role":"system","content":"rules"},{"role":"user","content":[{"type":"text","text":"hi"}]}]}`))
	if want := "system\nrules\nuser\n[{\"type\":\"text\",\"text\":\"hi\"}]\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
