package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// editReport is what the coder's report says of each reply, as far as it is shown. The command line's diff reads the same.
type editReport struct {
	Rounds []struct {
		Call    int    `json:"call"`
		Status  string `json:"status"`
		Problem string `json:"problem"`
		Blocks  []struct {
			Number int      `json:"number"`
			Format string   `json:"format"`
			Path   string   `json:"path"`
			Status string   `json:"status"`
			Rungs  []string `json:"rungs"`
			At     int      `json:"at"`
			Cause  string   `json:"cause"`
		} `json:"blocks"`
		Warnings []string `json:"warnings"`
		Checks   []string `json:"checks"`
		Feedback string   `json:"feedback"`
	} `json:"rounds"`
}

// reportView is a drawer's view of how a step's edits were read; nil: there is no report, or it is another service's.
func (p *pageSet) reportView(ctx context.Context, base, digest string) *blobView {
	v := p.blobView(ctx, base, "How the edits were read", digest)
	if v == nil {
		return nil
	}
	var r editReport
	if v.Cut || json.Unmarshal([]byte(v.Body), &r) != nil || len(r.Rounds) == 0 {
		v.Open = false
		return v // as it is, with a link to the whole
	}
	v.Body = r.text()
	v.Open = len(r.Rounds) > 1
	return v
}

func (r editReport) text() string {
	var b strings.Builder
	for _, n := range r.Rounds {
		fmt.Fprintf(&b, "Reply %d: %s", n.Call, n.Status)
		if n.Problem != "" {
			fmt.Fprintf(&b, ": %s", n.Problem)
		}
		b.WriteString("\n")
		for _, k := range n.Blocks {
			fmt.Fprintf(&b, "  %s %d, %s: %s", k.Format, k.Number, k.Path, k.Status)
			if k.At > 0 {
				fmt.Fprintf(&b, " at line %d", k.At)
			}
			if len(k.Rungs) > 0 {
				fmt.Fprintf(&b, " by %s", strings.Join(k.Rungs, ", "))
			}
			if k.Cause != "" {
				fmt.Fprintf(&b, ": %s", k.Cause)
			}
			b.WriteString("\n")
		}
		for _, w := range n.Warnings {
			fmt.Fprintf(&b, "  warning: %s\n", w)
		}
		for _, c := range n.Checks {
			fmt.Fprintf(&b, "  check: %s\n", c)
		}
		if n.Feedback != "" {
			fmt.Fprintf(&b, "  told: %s\n", strings.ReplaceAll(strings.TrimSpace(n.Feedback), "\n", "\n        "))
		}
	}
	return b.String()
}
