package quote_test

import (
	"strings"
	"testing"

	"nullius.dev/services/reviewer/internal/quote"
	"pgregory.net/rapid"
)

func TestText_Find(t *testing.T) {
	const paper = "We show that the ﬁnal classi-\nﬁer reaches a “robust” gain of −0.5 over\nthe baseline.  State-of-the-\nart methods are inaccurate in this regime; run 3 gives 0.331 in total."
	tests := []struct {
		name, quote, want string
	}{
		{"a ligature is opened", "the final classifier reaches", "the ﬁnal classi-\nﬁer reaches"},
		{"quotation marks of any kind are equal", `reaches a "robust" gain`, "reaches a “robust” gain"},
		{"TeX's quotation marks are equal too", "reaches a ``robust'' gain", "reaches a “robust” gain"},
		{"a compound broken at its hyphen is found", "State-of-the-art methods", "State-of-the-\nart methods"},
		{"white space does not count", "gain of -0.5 over the   baseline", "gain of −0.5 over\nthe baseline"},
		{"a full stop added by the reviewer is ignored", "over the baseline. State-of-the-art methods.", "over\nthe baseline.  State-of-the-\nart methods"},
		{"an ellipsis stands for words nearby", "We show that ... over the baseline", "We show that the ﬁnal classi-\nﬁer reaches a “robust” gain of −0.5 over\nthe baseline"},
		{"a minus of any kind is equal", "a “robust” gain of -0.5", "a “robust” gain of −0.5"},
		{"a lost minus is another number", "gain of 0.5 over the baseline", ""},
		{"a number cut short is another number", "run 3 gives 0.33", ""},
		{"a word cut short is another word", "accurate in this regime", ""},
		{"a sentence that is not there is not found", "the method is fast and cheap", ""},
		{"parts in the wrong order are not found", "the baseline ... We show that the", ""},
		{"a few letters prove nothing", "we show", ""},
		{"an empty quote is not found", " … ", ""},
	}
	text := quote.New(paper)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			span, ok := text.Find(tt.quote)
			if ok != (tt.want != "") {
				t.Fatalf("Find(%q) = %v, %v", tt.quote, span, ok)
			}
			if ok && paper[span.Start:span.End] != tt.want {
				t.Errorf("Find(%q) points at %q, want %q", tt.quote, paper[span.Start:span.End], tt.want)
			}
		})
	}
}

func TestText_Mentions(t *testing.T) {
	text := quote.New("An Abla-\ntion of the learning rate.")
	for term, want := range map[string]bool{"ablation": true, "Learning Rate": true, "error bars": false, "": false} {
		if got := text.Mentions(term); got != want {
			t.Errorf("Mentions(%q) = %v, want %v", term, got, want)
		}
	}
}

func TestText_Find_locates_every_run_of_whole_words(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-zé]{2,9}(-[a-z]{2,6})?`), 6, 60).Draw(t, "words")
		var page strings.Builder
		for _, w := range words {
			page.WriteString(w)
			page.WriteString(rapid.SampledFrom([]string{" ", "\n", "  ", ", ", ". "}).Draw(t, "between"))
		}
		from := rapid.IntRange(0, len(words)-6).Draw(t, "from")
		marked := strings.Fields(page.String())
		if _, ok := quote.New(page.String()).Find(strings.Join(marked[from:from+6], " ")); !ok {
			t.Fatalf("words %d to %d of %q not found", from, from+6, page.String())
		}
	})
}

func FuzzText_Find(f *testing.F) {
	f.Add("plain text with several words in it", "several words in")
	f.Add("ﬁ\u00ad\u200b\xff--'' ``", "...…\x00\xff")
	f.Add("e\u0301\u0301 a-\nb", "é-\n")
	f.Fuzz(func(t *testing.T, paper, q string) {
		text := quote.New(paper)
		text.Mentions(q)
		if span, ok := text.Find(q); ok && (span.Start < 0 || span.End > len(paper) || span.Start >= span.End) {
			t.Fatalf("span %v outside of %d bytes", span, len(paper))
		}
	})
}
