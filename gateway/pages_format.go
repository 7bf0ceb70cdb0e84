package gateway

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// accountView is the account line of a page's head.
type accountView struct{ Label, Spent, Tokens, Input, Cached, Output, Reasoning, GPU string }

// stateView is a state as pages show it: a shape by class, a word, a reason.
type stateView struct{ Class, Text, Why string }

// ageView is a time that pages show as an age; a script counts it on.
type ageView struct{ Text, ISO, Full string }

func stateOf(s gatewayv1.IdeaState_Value, w gatewayv1.WaitReason_Value, why string) stateView {
	class := map[gatewayv1.IdeaState_Value]string{
		gatewayv1.IdeaState_PENDING: "pending", gatewayv1.IdeaState_RUNNING: "running", gatewayv1.IdeaState_WAITING: "waiting", gatewayv1.IdeaState_SUCCEEDED: "ok",
		gatewayv1.IdeaState_REJECTED: "rejected", gatewayv1.IdeaState_FAILED: "failed", gatewayv1.IdeaState_CANCELLED: "cancelled",
	}[s]
	text := s.String()
	if w != gatewayv1.WaitReason_UNSPECIFIED {
		text += " · " + w.String()
	}
	return stateView{class, text, why}
}

// Bounds of a title in runes: at the head of its page, and in a list. The whole stands in the idea's own tab.
const (
	headTitle = 300
	listTitle = 160
)

// shortModel keeps a recording's digest from filling the table.
func shortModel(m string) string {
	if rec, ok := strings.CutPrefix(m, "recording/"); ok && len(rec) > 12 {
		return "recording/" + rec[:12] + "…"
	}
	return m
}

func dollars(pico int64) string { return fmt.Sprintf("$%.2f", float64(pico)/1e12) }

func spentOf(u *recordv1.Usage, a *gatewayv1.Account) string {
	text := dollars(u.GetCostPicoDollars())
	if l := a.GetLimitPicoDollars(); l > 0 {
		text += " of " + dollars(l)
	}
	if u.GetEstimated() {
		text += ", estimated"
	}
	if u.GetUnpriced() {
		text += ", some unknown"
	}
	if p := a.GetPossiblyPicoDollars(); p > 0 {
		text += ", possibly " + dollars(p) + " more"
	}
	return text
}

// tokensOf is what was used of a token budget; empty: there is none.
func tokensOf(a *gatewayv1.Account) string {
	if a.GetLimitTokens() == 0 {
		return ""
	}
	return count(a.GetSpentTokens()) + " of " + count(a.GetLimitTokens())
}

func accountOf(u *recordv1.Usage, a *gatewayv1.Account, gpu float64) *accountView {
	return &accountView{"spent", spentOf(u, a), tokensOf(a), count(u.GetInputTokens() + u.GetCacheWriteTokens()), count(u.GetCacheReadTokens()), count(u.GetOutputTokens()),
		count(u.GetReasoningTokens()), fmt.Sprintf("%.2f", gpu)}
}

func cost(u *recordv1.Usage) string {
	if u.GetCalls() == 0 {
		return ""
	}
	return dollars(u.GetCostPicoDollars())
}

// count writes a number in groups of three.
func count(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func size(n int64) string {
	if n < 10_000 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d kB", n/1000)
}

func seconds(t *timestamppb.Timestamp) string {
	if t == nil {
		return "unknown"
	}
	return t.AsTime().Local().Format("2006-01-02 15:04:05")
}

// ageOf shows a time as its age now.
func ageOf(t *timestamppb.Timestamp) ageView {
	if t == nil || t.AsTime().Unix() <= 0 {
		return ageView{Text: "unknown"}
	}
	return ageView{ageText(time.Since(t.AsTime())), t.AsTime().UTC().Format(time.RFC3339), seconds(t)}
}

// ageText writes a duration to the unit that matters; web/live.js has its twin.
func ageText(d time.Duration) string {
	s := int(max(0, d).Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min", s/60)
	case s < 48*3600:
		return fmt.Sprintf("%d h %02d min", s/3600, s/60%60)
	}
	return fmt.Sprintf("%d days", s/86400)
}

func took(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d:%02d min", int(d.Minutes()), int(d.Seconds())%60)
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func metricText(m *recordv1.Metric) string {
	if m.GetName() == "" {
		return "The template names no primary metric."
	}
	text := "Metric: " + m.GetName()
	if m.GetDataset() != "" {
		text += " of " + m.GetDataset()
	}
	switch m.GetDirection() {
	case recordv1.Direction_MINIMIZE:
		text += ", lower is better"
	case recordv1.Direction_MAXIMIZE:
		text += ", higher is better"
	}
	return text + "."
}
