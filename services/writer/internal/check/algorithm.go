package check

import "strings"

// blockEnds is what closes each block of an algorithm.
var blockEnds = map[string]string{"If": "EndIf", "For": "EndFor", "ForAll": "EndFor", "While": "EndWhile", "Repeat": "Until", "Function": "EndFunction",
	"Procedure": "EndProcedure"}

// algorithmStep keeps the blocks of an algorithm nested. It says whether the command may stand here.
func (w *weaver) algorithmStep(name string) bool {
	var f *frame
	for k := len(w.stack) - 1; k >= 0; k-- {
		if w.stack[k].kind == 'e' && w.stack[k].name == "algorithmic" {
			f = &w.stack[k]
			break
		}
	}
	if f == nil {
		w.l.mended("C01", `\`+name+" outside an algorithm was dropped")
		return false
	}
	if _, opens := blockEnds[name]; opens {
		f.blocks = append(f.blocks, name)
		return true
	}
	last := len(f.blocks) - 1
	switch {
	case name == "Else" || name == "ElsIf":
		if last < 0 || f.blocks[last] != "If" {
			w.l.mended("E01", `\`+name+" without its beginning was removed")
			return false
		}
	case name == "Until" || strings.HasPrefix(name, "End"):
		if last < 0 || blockEnds[f.blocks[last]] != name {
			w.l.mended("E01", `\`+name+" without its beginning was removed")
			return false
		}
		f.blocks = f.blocks[:last]
	}
	return true
}

// endBlocks closes the blocks that an algorithm left open.
func (w *weaver) endBlocks(f frame) {
	for i := len(f.blocks) - 1; i >= 0; i-- {
		w.l.mended("E01", "a block of an algorithm was closed")
		w.put("\n\\" + blockEnds[f.blocks[i]])
		if f.blocks[i] == "Repeat" {
			w.put("{}")
		}
	}
	if len(f.blocks) > 0 {
		w.put("\n")
	}
}

// startsStatement says whether the first thing of an algorithm is a line of it.
func startsStatement(body string) bool {
	name, ok := strings.CutPrefix(body, `\`)
	if !ok {
		return false
	}
	end := strings.IndexFunc(name, func(c rune) bool { return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') })
	if end >= 0 {
		name = name[:end]
	}
	return algorithmOnly[name] && name != "Return" && name != "Comment" && name != "Call"
}
