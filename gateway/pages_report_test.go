package gateway

import (
	"encoding/json"
	"testing"
)

func TestEditReport(t *testing.T) {
	var r editReport
	report := `{"rounds":[{"call":1,"status":"no_match","blocks":[{"number":1,"format":"block","path":"a.py","status":"no_match","cause":"SEARCH is not in a.py"}],"feedback":"Nothing was written.\nSend it again.\n"},
{"call":2,"status":"applied","blocks":[{"number":1,"format":"block","path":"a.py","status":"applied","rungs":["L2_trailing_ws"],"at":7}],"warnings":["block 1: w"],"checks":["a.py uses q"]}]}`
	if err := json.Unmarshal([]byte(report), &r); err != nil {
		t.Fatal(err)
	}
	want := `Reply 1: no_match
  block 1, a.py: no_match: SEARCH is not in a.py
  told: Nothing was written.
        Send it again.
Reply 2: applied
  block 1, a.py: applied at line 7 by L2_trailing_ws
  warning: block 1: w
  check: a.py uses q
`
	if got := r.text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
