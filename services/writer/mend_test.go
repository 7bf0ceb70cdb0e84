package writer_test

import (
	"strings"
	"testing"

	"nullius.dev/kit/llm"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
)

// TestService_WritePaper_sendsBack: typed numbers and unknown references go back to the model with candidates; what it mends is clean.
func TestService_WritePaper_sendsBack(t *testing.T) {
	bad := "The error at the threshold was 2.21 in the baseline, and \\measured{run_7/noise_0.3/mse_widest} in a run that does not exist."
	for _, tc := range []struct {
		name, mend  string
		unexplained int32
	}{
		{"mended", "%%% results.1\nThe error at the threshold was \\measured{run_0/noise_0.3/log10_mse_threshold} in the baseline.", 0},
		{"left as it is", "NONE", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			replies := goodReplies()
			replies["results/draft"] = bad + "\n\n" + replies["results/draft"]
			replies["mend-1"], replies["mend-2"] = tc.mend, tc.mend
			f := newFixture(t, nil)
			m := &book{replies: replies}
			p, err := write(t, dial(t, f, m, library{}, box(t)), f, nil)
			if err != nil || p.GetOutcome() != writerv1.Paper_COMPILED {
				t.Fatalf("%v %s", err, p.GetOutcome())
			}
			if p.GetNumbersUnexplained() != tc.unexplained {
				t.Errorf("unexplained %d\n%s", p.GetNumbersUnexplained(), findings(p, false))
			}
			prompt := promptOf(m, "mend-1")
			for _, want := range []string{"N02 results.1", "there is no run_7", `"2.21"`, `perhaps \measured{run_0/noise_0.3/log10_mse_threshold}`, "%%% results.1"} {
				if !strings.Contains(prompt, want) {
					t.Errorf("the mend prompt lacks %q", want)
				}
			}
			marked := strings.Contains(file(t, f, p.GetSnapshot(), "latex/template.tex"), `2.21\nulliusmark{} in the baseline`)
			if marked != (tc.unexplained > 0) {
				t.Errorf("marked in the paper: %v", marked)
			}
		})
	}
}

func promptOf(m *book, call string) string {
	for _, r := range m.asked {
		if r.Origin.Call == call {
			var parts []llm.Part
			for _, x := range r.Messages {
				parts = append(parts, x.Parts...)
			}
			s := ""
			for _, p := range parts {
				s += p.Text
			}
			return s
		}
	}
	return ""
}
