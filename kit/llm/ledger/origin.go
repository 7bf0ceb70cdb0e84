package ledger

import (
	"fmt"
	"strings"

	"nullius.dev/kit/fault"
)

// Origin says who asks: it is the first half of a ledger key, so it must be the same when a step runs again.
type Origin struct {
	Scope []string // study, idea ("_": the study's own steps); each prefix is a budget account
	Step  string   // experiments/run-2/implement
	Call  string   // edit/retry-1; parallel calls by position: reviewer-3/review
}

// OriginOf splits a full step name, "<study>/<idea>/<step…>", at its first two slashes.
func OriginOf(fullStep, call string) (Origin, error) {
	parts := strings.SplitN(fullStep, "/", 3)
	if len(parts) != 3 {
		return Origin{}, fault.New(fault.Invalid, "FIELD_INVALID", "step %q is not of the form study/idea/step", short(fullStep)).
			WithField("step", "wants study/idea/step")
	}
	o := Origin{Scope: parts[:2:2], Step: parts[2], Call: call}
	return o, o.Validate()
}

// Validate refuses names that a ledger key cannot hold.
func (o Origin) Validate() error {
	if len(o.Scope) != 2 {
		return fault.New(fault.Invalid, "FIELD_INVALID", "the origin of a call names %d scopes, it wants study and idea", len(o.Scope)).
			WithField("origin.scope", "wants study and idea")
	}
	for _, s := range o.Scope {
		if !plain(s, false) {
			return fault.New(fault.Invalid, "FIELD_INVALID", "%q cannot name a study or an idea", short(s)).
				WithField("origin.scope", "letters, digits, - and _ only")
		}
	}
	if !plain(o.Step, true) {
		return fault.New(fault.Invalid, "FIELD_INVALID", "%q cannot name a step", short(o.Step)).
			WithField("origin.step", "letters, digits, -, _ and / only")
	}
	if !plain(o.Call, true) {
		return fault.New(fault.Invalid, "FIELD_INVALID", "%q cannot name a call of %s", short(o.Call), o.Step).
			WithField("origin.call", "letters, digits, -, _ and / only")
	}
	return nil
}

// Study is the first scope.
func (o Origin) Study() string { return o.at(0) }

// Idea is the second scope; "_" stands for the study's own steps.
func (o Origin) Idea() string { return o.at(1) }

func (o Origin) at(i int) string {
	if i < len(o.Scope) {
		return o.Scope[i]
	}
	return ""
}

// Accounts lists the budget accounts a call is charged to, the inner one first.
func (o Origin) Accounts() []string {
	out := make([]string, 0, len(o.Scope))
	for i := len(o.Scope); i > 0; i-- {
		out = append(out, strings.Join(o.Scope[:i], "."))
	}
	return out
}

// String is the origin as people read it.
func (o Origin) String() string {
	return fmt.Sprintf("%s/%s: %s", strings.Join(o.Scope, "/"), o.Step, o.Call)
}

// plain reports whether s can be a part of a key: letters, digits, "-", "_", and with slashes also inner "/".
func plain(s string, slashes bool) bool {
	if s == "" || len(s) > 200 || s[0] == '/' || s[len(s)-1] == '/' {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '/' && slashes && s[i-1] != '/':
		default:
			return false
		}
	}
	return true
}

func short(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
