package edit

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// Undo gives the files as they were before changes of which Changes.Diff made diff; false: the diff is not of these files. The files themselves stay.
func Undo(files map[string][]byte, diff []byte) (map[string][]byte, bool) {
	out := maps.Clone(files)
	lines := rawLines(diff)
	for i := 0; i < len(lines); {
		if i+1 >= len(lines) || !strings.HasPrefix(lines[i], "--- ") || !strings.HasPrefix(lines[i+1], "+++ ") {
			if strings.HasPrefix(lines[i], "@@ ") {
				return nil, false
			}
			i++ // git's lines before the names
			continue
		}
		old, now := sideOf(lines[i], "a/"), sideOf(lines[i+1], "b/")
		u := undoing{now: rawLines(out[now]), rest: lines[i+2:]}
		if !u.file() {
			return nil, false
		}
		i = len(lines) - len(u.rest)
		delete(out, now)
		if old != "" {
			out[old] = []byte(strings.Join(u.old, ""))
		}
	}
	return out, true
}

// sideOf reads a file line of a diff; "" for /dev/null.
func sideOf(l, prefix string) string {
	l = strings.TrimSuffix(strings.TrimSuffix(l[4:], "\n"), "\t")
	if s, err := strconv.Unquote(l); err == nil && strings.HasPrefix(l, `"`) {
		l = s
	}
	name, ok := strings.CutPrefix(l, prefix)
	if !ok {
		return ""
	}
	return name
}

// undoing walks the hunks of one file.
type undoing struct {
	now, old []string // lines of the file after and before
	at       int      // lines of now that are dealt with
	rest     []string // of the diff
}

func (u *undoing) file() bool {
	for len(u.rest) > 0 && strings.HasPrefix(u.rest[0], "@@ ") {
		if !u.hunk() {
			return false
		}
	}
	u.old = append(u.old, u.now[u.at:]...)
	return true
}

func (u *undoing) hunk() bool {
	var sa, na, sb, nb int
	if n, _ := fmt.Sscanf(u.rest[0], "@@ -%d,%d +%d,%d @@", &sa, &na, &sb, &nb); n != 4 {
		return false
	}
	u.rest = u.rest[1:]
	if nb > 0 {
		sb--
	}
	if sb < u.at || sb > len(u.now) {
		return false
	}
	u.old, u.at = append(u.old, u.now[u.at:sb]...), sb
	for na > 0 || nb > 0 {
		if len(u.rest) == 0 {
			return false
		}
		mark, text := u.rest[0][0], u.rest[0][1:]
		u.rest = u.rest[1:]
		if len(u.rest) > 0 && strings.HasPrefix(u.rest[0], `\`) {
			text, u.rest = strings.TrimSuffix(text, "\n"), u.rest[1:]
		}
		if mark != '-' {
			if u.at >= len(u.now) || u.now[u.at] != text {
				return false
			}
			u.at, nb = u.at+1, nb-1
		}
		if mark != '+' {
			u.old, na = append(u.old, text), na-1
		}
	}
	return na == 0 && nb == 0
}
