package gateway

import (
	"regexp"
	"strings"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/fault"
	"nullius.dev/proto/subject"
)

// id is what may become a subject, a key and a folder: letters, digits, "-", "_", at most 63, not beginning with "-".
var id = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}$`)

func nameInvalid(field, name, form string) error {
	if len(name) > 200 {
		name = name[:200]
	}
	return fault.New(fault.Invalid, "NAME_INVALID", "name %q is not of the form %s; ids are letters, digits, - and _, at most 63, not beginning with -", name, form).
		WithField(field, "expected "+form)
}

func studyName(study string) string { return "studies/" + study }

func ideaName(study, idea string) string { return "studies/" + study + "/ideas/" + idea }

// parseStudy reads studies/{s}.
func parseStudy(name string) (journal.Key, error) {
	p := strings.Split(name, "/")
	if len(p) != 2 || p[0] != "studies" || !id.MatchString(p[1]) {
		return journal.Key{}, nameInvalid("name", name, "studies/{study}")
	}
	return journal.Key{Study: p[1], Idea: subject.StudyItself}, nil
}

// parseIdea reads studies/{s}/ideas/{i}; ideas/_ is the study itself.
func parseIdea(name string) (journal.Key, error) {
	p := strings.Split(name, "/")
	if len(p) != 4 || p[0] != "studies" || p[2] != "ideas" || !id.MatchString(p[1]) || !id.MatchString(p[3]) {
		return journal.Key{}, nameInvalid("name", name, "studies/{study}/ideas/{idea}")
	}
	return journal.Key{Study: p[1], Idea: p[3]}, nil
}

// parseTemplate reads templates/{t}, which stands in a field of the request.
func parseTemplate(field, name string) (string, error) {
	t, ok := strings.CutPrefix(name, "templates/")
	if !ok || !id.MatchString(t) {
		return "", nameInvalid(field, name, "templates/{template}")
	}
	return t, nil
}

func unknownMachine(k journal.Key) error {
	if k.IsStudy() {
		return fault.New(fault.NotFound, "STUDY_UNKNOWN", "there is no study %s", k.Study).WithNext("nullius list studies")
	}
	return fault.New(fault.NotFound, "IDEA_UNKNOWN", "study %s has no idea %s", k.Study, k.Idea).WithNext("nullius show " + k.Study)
}

var ideaSlug = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)

// slug makes an idea's Name of any text: lower case, digits, underscores.
func slug(text string) string {
	out := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(text), "_"), "_")
	if len(out) > 48 {
		out = strings.TrimRight(out[:48], "_")
	}
	if out == "" {
		return "idea"
	}
	return out
}
