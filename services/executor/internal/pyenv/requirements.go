package pyenv

import (
	"fmt"
	"regexp"
	"strings"
)

// maxRequirements bounds a file of requirements.
const maxRequirements = 256 << 10

// A line is a name with extras, versions, a marker and hashes: the part of
// https://packaging.python.org/en/latest/specifications/dependency-specifiers/
// that names no place to fetch from.
var (
	line    = regexp.MustCompile(`^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[A-Za-z0-9._, -]*\])?\s*(?:\(?\s*` + version + `(?:\s*,\s*` + version + `)*\s*\)?)?\s*(?:;[^#]*?)?((?:\s+--hash=sha256:[0-9a-f]{64})*)$`)
	comment = regexp.MustCompile(`(^|\s)#.*$`)
)

const version = `(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+`

// requirements are the lines of a file, checked.
type requirements struct {
	names  []string
	text   string // without comments
	hashed bool
}

// beyond tells whether a line of the right shape holds an option or an address, where an installer may look for more than a marker.
func beyond(line string) bool {
	rest := strings.ReplaceAll(line, " --hash=sha256:", " ")
	return strings.Contains(rest, " -") || strings.Contains(rest, ";-") || strings.Contains(rest, "--") || strings.Contains(rest, "://")
}

// parse accepts names, versions, markers and hashes; options, addresses, paths
// and includes would fetch or run something else.
func parse(data []byte) (requirements, error) {
	var r requirements
	if len(data) > maxRequirements {
		return r, fmt.Errorf("the requirements have %d bytes, allowed are %d", len(data), maxRequirements)
	}
	text := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\\\n", " ")
	hashed := 0
	for i, l := range strings.Split(text, "\n") {
		l = strings.TrimSpace(comment.ReplaceAllString(l, ""))
		if l == "" {
			continue
		}
		m := line.FindStringSubmatch(l)
		if m == nil || beyond(l) {
			return r, fmt.Errorf("requirement %d, %.80q, is not a name with version, marker and hash; options, addresses and paths are not taken", i+1, l)
		}
		if m[2] != "" {
			hashed++
		}
		r.names = append(r.names, m[1])
		r.text += l + "\n"
	}
	if hashed > 0 && hashed < len(r.names) {
		return r, fmt.Errorf("%d of %d requirements have a hash: all or none", hashed, len(r.names))
	}
	r.hashed = hashed > 0
	return r, nil
}
