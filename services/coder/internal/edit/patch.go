package edit

import (
	"strconv"
	"strings"
)

// patch reads a "*** Begin Patch" envelope of Add, Update and Delete sections.
func (p *parser) patch(from int) ([]op, *parseError) {
	var ops []op
	var cur *op
	section, name := "", ""
	flush := func() {
		if cur != nil && (section == "add" || len(cur.search) > 0 || len(cur.replace) > 0) {
			ops = append(ops, *cur)
		}
		cur = nil
	}
	copy(p.lines[from:], dedentPatch(p.lines[from:]))
	for i := from + 1; i < len(p.lines); i++ {
		l := p.lines[i]
		trimmed := strings.TrimSpace(l)
		if trimmed == patchEnd {
			flush()
			return ops, nil
		}
		if trimmed == "*** End of File" {
			continue
		}
		if verb, rest, ok := patchHeader(trimmed); ok {
			flush()
			section, name = verb, rest
			switch verb {
			case "add":
				cur = &op{kind: opListing, format: "patch", line: p.at(i), name: name, create: true}
			case "delete":
				ops = append(ops, op{kind: opDelete, format: "patch", line: p.at(i), name: name})
			}
			continue
		}
		if strings.HasPrefix(trimmed, "*** ") {
			return nil, &parseError{line: p.at(i), msg: "a patch has only Add File, Update File and Delete File sections"}
		}
		switch section {
		case "add":
			cur.replace = append(cur.replace, strings.TrimPrefix(l, "+"))
		case "update":
			if strings.HasPrefix(l, "@@") {
				if cur == nil || len(cur.search)+len(cur.replace) > 0 {
					flush()
					cur = &op{kind: opBlock, format: "patch", line: p.at(i), name: name}
				}
				cur.anchorLine(l)
				continue
			}
			if cur == nil {
				cur = &op{kind: opBlock, format: "patch", line: p.at(i), name: name}
			}
			cur.hunkLine(l)
		default:
			if trimmed != "" {
				return nil, &parseError{line: p.at(i), msg: "a line of the patch stands outside every section"}
			}
		}
	}
	return nil, &parseError{line: p.at(from), msg: "the patch does not end with *** End Patch", cut: true}
}

const patchEnd = "*** End Patch"

// dedentPatch takes the indent of an envelope that stands in a list off its lines, up to its end.
func dedentPatch(lines []string) []string {
	for i, l := range lines {
		if strings.TrimSpace(l) == patchEnd {
			return dedent(lines[:i+1], indentOf(lines[0]))
		}
	}
	return nil
}

func patchHeader(l string) (verb, name string, ok bool) {
	for verb, head := range map[string]string{"add": "*** Add File:", "update": "*** Update File:", "delete": "*** Delete File:"} {
		if rest, ok := strings.CutPrefix(l, head); ok {
			return verb, strings.TrimSpace(rest), true
		}
	}
	return "", "", false
}

// anchorLine reads "@@ text" or a hunk's numbers. Several such lines in a row narrow the place down.
func (o *op) anchorLine(l string) {
	if m := hunkRE.FindStringSubmatch(l); m != nil {
		o.hint, _ = strconv.Atoi(m[1])
		return
	}
	a := strings.TrimSpace(strings.TrimPrefix(l, "@@"))
	if a = strings.TrimSpace(strings.TrimSuffix(a, "@@")); a != "" {
		o.anchors = append(o.anchors, a)
	}
}
