package writer_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestService_WritePaper_marksWhatStaysTyped: a number that a model typed and will not mend is marked where a reader sees it, listed where a program reads it, and inserted numbers are not.
func TestService_WritePaper_marksWhatStaysTyped(t *testing.T) {
	replies := goodReplies()
	replies["results/draft"] = "The error at the threshold fell to 0.4711 in one attempt.\n\n" + replies["results/draft"]
	f := newFixture(t, nil)
	p, err := write(t, dial(t, f, &book{replies: replies}, library{}, box(t)), f, nil)
	if err != nil {
		t.Fatal(err)
	}
	path, name := filepath.Join(t.TempDir(), "paper.pdf"), f.record.GetIdea().GetName()+".pdf"
	if err := os.WriteFile(path, []byte(file(t, f, p.GetSnapshot(), name)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "pdftotext", "-layout", path, "-").Output()
	if err != nil {
		t.Fatalf("%v (install: sudo apt-get install -y poppler-utils)", err)
	}
	text := strings.Join(strings.Fields(string(out)), " ")
	if !strings.Contains(text, "0.4711?") && !strings.Contains(text, "0.4711 ?") {
		t.Errorf("the page does not mark the typed number: %q", around(text, "0.4711"))
	}
	if n := strings.Count(text, "?"); n > 3 { // the mark, and what says what marks mean
		t.Errorf("the page has %d question marks", n)
	}
	var v struct {
		Unexplained []struct{ Section, Text, Sentence string }
	}
	if err := json.Unmarshal([]byte(file(t, f, p.GetSnapshot(), "verification.json")), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Unexplained) != 1 || v.Unexplained[0].Text != "0.4711" || v.Unexplained[0].Section != "results" || !strings.Contains(v.Unexplained[0].Sentence, "one attempt") {
		t.Errorf("unexplained: %+v", v.Unexplained)
	}
	if p.GetNumbersUnexplained() != 1 {
		t.Errorf("%d numbers are unexplained", p.GetNumbersUnexplained())
	}
}

func around(text, word string) string {
	i := strings.Index(text, word)
	if i < 0 {
		return "not on the page"
	}
	return text[max(0, i-60):min(len(text), i+60)]
}
