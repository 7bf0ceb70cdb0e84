package reviewer_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
)

// example starts the reviewer in Python and gives a client.
func example(t *testing.T) reviewerv1.ReviewerServiceClient {
	t.Helper()
	python, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.CommandContext(t.Context(), python, "-c", "import grpc_status, grpc_tools").Run(); err != nil {
		t.Fatalf("the example's Python environment is needed: make setup (%v)", err)
	}
	cmd := exec.CommandContext(t.Context(), python, "examples/minimal_server.py", "--port", "0", "--host", "127.0.0.1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the example does not start: %v", err)
	}
	conn, err := kittest.Network(t).Dial("dns:///" + strings.TrimSpace(strings.TrimPrefix(line, "reviewer listens on ")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return reviewerv1.NewReviewerServiceClient(conn)
}

func TestExample_reviews_and_gives_reasons(t *testing.T) {
	c := example(t)
	r, err := ask(t.Context(), c, &reviewerv1.ReviewPaperRequest{Paper: text(paper)})
	if err != nil || r.GetOutcome() != reviewerv1.Review_REVIEWED || overall(r) == nil {
		t.Errorf("review %v, %v", r, err)
	}
	for name, tt := range map[string]struct {
		in     *reviewerv1.ReviewPaperRequest
		reason string
		kind   fault.Kind
	}{
		"no paper":        {&reviewerv1.ReviewPaperRequest{}, "FIELD_INVALID", fault.Invalid},
		"an empty text":   {&reviewerv1.ReviewPaperRequest{Paper: text(" ")}, "PAPER_EMPTY", fault.Invalid},
		"an unknown form": {&reviewerv1.ReviewPaperRequest{Paper: text(paper), Form: "x-1999"}, "FORM_UNKNOWN", fault.Invalid},
		"an encrypted PDF": {&reviewerv1.ReviewPaperRequest{Paper: &reviewerv1.ReviewPaperRequest_Pdf{Pdf: testFile(t, "encrypted.pdf")}},
			"PDF_ENCRYPTED", fault.Invalid},
		"a text that is too long": {&reviewerv1.ReviewPaperRequest{Paper: text(strings.Repeat("a ", 2<<20+1))}, "PAYLOAD_TOO_LARGE", fault.Exhausted},
	} {
		_, err := ask(t.Context(), c, tt.in)
		if fault.ReasonOf(err) != tt.reason || fault.KindOf(err) != tt.kind {
			t.Errorf("%s: %v, reason %q", name, err, fault.ReasonOf(err))
		}
	}
}
