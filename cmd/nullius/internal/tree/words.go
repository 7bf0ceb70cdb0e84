package tree

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// stages of an idea in order, as architecture.md names them.
var stages = []string{"novelty", "experiments", "figures", "writing", "review", "improvement"}

// stageOf gives "stage 2 of 6" of a stage under a study's settings; empty for a stage that is none of an idea's.
func stageOf(stage string, set *gatewayv1.StudySettings) string {
	k, n := 0, 0
	for _, s := range stages {
		if slices.Contains(set.GetSkip(), s) || (s == "improvement" && !set.GetImprovement()) {
			continue
		}
		n++
		if s == stage {
			k = n
		}
		if s == set.GetUntil() {
			break
		}
	}
	if k == 0 {
		return ""
	}
	return fmt.Sprintf("stage %d of %d", k, n)
}

var (
	runUnit = regexp.MustCompile(`/run-(\d+)/`)
	tryUnit = regexp.MustCompile(`/(execute|smoke|plot|repair)-(\d+)$`)
	again   = regexp.MustCompile(`^[a-z]+-(\d+)/`)
)

// counts gives "run 2 of 5" and "try 3 of 4" of a step; empty where it has none. A repair belongs to the try that it leads to.
func counts(step string, set *gatewayv1.StudySettings) []string {
	var out []string
	if m := again.FindStringSubmatch(step); m != nil {
		out = append(out, "retry "+before(m[1]))
	}
	if m := runUnit.FindStringSubmatch(step); m != nil {
		out = append(out, fmt.Sprintf("run %s of %d", m[1], orDefault(set.GetMaxRuns(), 5)))
	}
	if m := tryUnit.FindStringSubmatch(step); m != nil {
		t := m[2]
		if m[1] == "repair" {
			n, _ := strconv.Atoi(t) // the pattern has digits only
			t = strconv.Itoa(n + 1)
		}
		out = append(out, fmt.Sprintf("try %s of %d", t, orDefault(set.GetMaxTries(), 4)))
	}
	return out
}

// before is the number before one: the second go of a stage is its first retry.
func before(digits string) string {
	n, _ := strconv.Atoi(digits) // the pattern has digits only
	return strconv.Itoa(max(1, n-1))
}

func orDefault(v int32, d int32) int32 {
	if v > 0 {
		return v
	}
	return d
}

// doing says in words what a step does.
func doing(step string) string {
	unit := step[strings.LastIndexByte(step, '/')+1:]
	kind, _, _ := strings.Cut(unit, "-")
	stage, _, _ := strings.Cut(step, "/")
	stage = strings.TrimRight(stage, "-0123456789")
	if w := map[string]string{
		"baseline/run": "measuring the baseline", "baseline/smoke": "trying the baseline at small size", "ideation/idea": "drafting an idea",
		"novelty/assess":        "checking novelty",
		"experiments/implement": "changing the code", "experiments/smoke": "trying the code at small size", "experiments/execute": "running the experiment",
		"experiments/repair": "repairing the code", "experiments/notes": "noting the results",
		"figures/implement": "writing the plots", "figures/plot": "plotting", "figures/repair": "repairing the plots", "figures/describe": "describing the figures",
		"writing/draft": "writing the paper", "review/review": "reviewing the paper",
		"improvement/revise": "revising the paper", "improvement/review": "reviewing the revised paper",
	}[stage+"/"+kind]; w != "" {
		return w
	}
	return step
}

// waits says in words what a machine waits for.
func waits(reason gatewayv1.WaitReason_Value, stage, message string) string {
	with := func(s string) string {
		if message != "" {
			return s + ": " + message
		}
		return s
	}
	switch reason {
	case gatewayv1.WaitReason_APPROVAL:
		if stage == "" {
			return "waits for your approval"
		}
		return "waits for your approval before " + stage
	case gatewayv1.WaitReason_BUDGET:
		return with("waits for more budget")
	case gatewayv1.WaitReason_QUARANTINE:
		return with("waits until a person has looked")
	case gatewayv1.WaitReason_PROVIDER:
		return with("waits for the model's provider, tried again each minute")
	case gatewayv1.WaitReason_SERVICE:
		return with("waits for a service, tried again each minute")
	case gatewayv1.WaitReason_STORAGE:
		return with("waits for room on the disk, tried again each minute")
	}
	return with("waits")
}

// stateWord is the state as the API names it, with the reason of a wait.
func stateWord(s *gatewayv1.IdeaSummary) string {
	if s.GetWaitReason() != gatewayv1.WaitReason_UNSPECIFIED {
		return s.GetState().String() + "(" + s.GetWaitReason().String() + ")"
	}
	return s.GetState().String()
}

// age writes a duration for people: 12s, 3m 20s, 2h 05m, 3d 4h. Less than nothing, as skewed clocks give, is 0s.
func age(d time.Duration) string {
	s := int64(max(0, d) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm %02ds", s/60, s%60)
	case s < 48*3600:
		return fmt.Sprintf("%dh %02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd %dh", s/86400, s/3600%24)
}

// spent says what was spent of what, in money and tokens, longest form first.
func spent(u *recordv1.Usage, a *gatewayv1.Account) []string {
	pico := max(u.GetCostPicoDollars(), a.GetSpentPicoDollars())
	money := dollars(pico)
	switch {
	case pico == 0 && u.GetUnpriced():
		money = "unpriced"
	case u.GetUnpriced():
		money += " and unpriced calls"
	case u.GetEstimated():
		money = "about " + money
	}
	if l := a.GetLimitPicoDollars(); l > 0 {
		if pico == 0 && u.GetUnpriced() {
			money = "$0.00 of " + dollars(l) + " and unpriced calls"
		} else {
			money = strings.Replace(money, dollars(pico), dollars(pico)+" of "+dollars(l), 1)
		}
	}
	if p := a.GetPossiblyPicoDollars(); p > 0 {
		money += ", " + dollars(p) + " in doubt"
	}
	used := max(u.GetInputTokens()+u.GetCacheReadTokens()+u.GetCacheWriteTokens()+u.GetOutputTokens(), a.GetSpentTokens())
	tokens := count(used) + " tokens"
	if l := a.GetLimitTokens(); l > 0 {
		tokens = count(used) + " of " + count(l) + " tokens"
	}
	short := money + ", " + tokens
	brief := strings.ReplaceAll(strings.ReplaceAll(short, " and unpriced calls", " + unpriced"), " in doubt", "?")
	if w := u.GetWouldHaveCostPicoDollars(); w > 0 {
		return []string{short + " (recorded; would have cost " + dollars(w) + ")", short + " (recorded)", short, brief}
	}
	return []string{short, brief}
}

func dollars(pico int64) string { return fmt.Sprintf("$%.2f", float64(pico)/1e12) }

// count writes a number of tokens: 950, 12.3k, 4.5M.
func count(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10)
	case n < 999_950:
		return strings.Replace(fmt.Sprintf("%.1fk", float64(n)/1e3), ".0k", "k", 1)
	}
	return strings.Replace(fmt.Sprintf("%.1fM", float64(n)/1e6), ".0M", "M", 1)
}

// number writes a measurement with four significant digits.
func number(v float64) string {
	if a := math.Abs(v); a >= 1e4 && a < 1e9 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// plain makes text from models and programs safe for a terminal, on one line.
func plain(s string) string { return printable(strings.Join(strings.Fields(s), " ")) }

// printable drops what would move a terminal's cursor, change its colours or turn its text around; spaces stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 32 || r == 127 || (r >= 0x80 && r < 0xa0) || (r >= 0x200b && r <= 0x200f) || (r >= 0x2028 && r <= 0x202e) || (r >= 0x2060 && r <= 0x2069) || r == 0xfeff {
			return -1
		}
		return r
	}, strings.ReplaceAll(ansi.Strip(strings.ToValidUTF8(s, "\uFFFD")), "\t", "    "))
}
