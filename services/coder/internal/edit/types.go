package edit

import (
	"sort"
	"strings"
)

// Class is how a reply, or one block of it, ended.
type Class string

// The classes of a reply.
const (
	Applied       Class = "applied"        // a byte changed
	Noop          Class = "noop"           // edits, but nothing to do
	NoEdits       Class = "no_edits"       // no edit syntax in the reply
	Malformed     Class = "malformed"      // the syntax is broken
	ForbiddenPath Class = "forbidden_path" // a path that may not be written
	NoMatch       Class = "no_match"       // the text to replace is not there
	Ambiguous     Class = "ambiguous"      // it is there more than once
	Syntax        Class = "syntax"         // the result does not parse; set by the caller's gate
)

// Failed says whether the class is an error.
func (c Class) Failed() bool {
	switch c {
	case Malformed, ForbiddenPath, NoMatch, Ambiguous, Syntax:
		return true
	}
	return false
}

// The rungs that are no part of the matching ladder.
const (
	RungCreate = "create"
	RungAppend = "append"
	RungWhole  = "whole"
	RungDone   = "already_done"
)

// Bounds of one reply; above them it is malformed.
const (
	MaxReply      = 1 << 20
	MaxFile       = 2 << 20
	MaxBlocks     = 200
	MaxBlockLines = 2000
	MaxFiles      = 20
)

// Tree is the part of a snapshot that planning needs.
type Tree struct {
	Files map[string][]byte // contents of the files that exist and may be edited
	Other map[string]bool   // further paths that exist
	Links map[string]bool   // paths that are symbolic links
	// Older versions of files, newest first: a block that fits only one of them is told so.
	Older map[string][]Version
}

// Version is an earlier state of a file, or of a part of it.
type Version struct {
	Label string // "before run 2"
	Data  []byte
}

func (t Tree) exists(p string) bool {
	if _, ok := t.Files[p]; ok {
		return true
	}
	return t.Other[p] || t.Links[p]
}

// twin says whether p is new and differs from an existing path only in case, which no snapshot takes.
// An editable file under such a name is found later, by its name.
func (t Tree) twin(p string) bool {
	if t.exists(p) {
		return false
	}
	for f := range t.Other {
		if strings.EqualFold(f, p) {
			return true
		}
	}
	return false
}

func (t Tree) isDir(p string) bool {
	prefix := p + "/"
	for _, m := range []map[string]bool{t.Other, t.Links} {
		for f := range m {
			if len(f) > len(prefix) && f[:len(prefix)] == prefix {
				return true
			}
		}
	}
	for f := range t.Files {
		if len(f) > len(prefix) && f[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}

// Policy says which paths may be written and which loose rules are on. The zero value of the switches is "on".
type Policy struct {
	Allowed     []string // exact paths and globs
	Protected   []string // globs that win over Allowed
	AllowDelete bool

	NoPartialLine       bool // switches L9 off
	NoNear              bool // switches L10 off
	NoAlreadyDone       bool // a block whose result is there already fails
	NoContentCorrection bool // a wrong file name is never corrected by content
}

// Change is one file to be written or deleted.
type Change struct {
	Path    string
	Old     []byte // nil when created
	Data    []byte
	Created bool
	Deleted bool
	// Origin holds for each line of Data the number of the block that wrote it, 0 for untouched lines.
	Origin []int
}

// Changes is sorted by path.
type Changes []Change

// Added and removed lines of all changes.
func (c Changes) Stat() (added, removed int) {
	for _, ch := range c {
		a, r := countDiff(ch.Old, ch.Data)
		added, removed = added+a, removed+r
	}
	return added, removed
}

// Diff is a unified diff that git apply and patch -p1 accept.
func (c Changes) Diff() []byte {
	var out []byte
	for _, ch := range c {
		out = append(out, UnifiedDiff(ch)...)
	}
	return out
}

// Report says what became of a reply, block by block.
type Report struct {
	Status   Class         `json:"status"`
	Problem  string        `json:"problem,omitempty"` // of a reply that could not be parsed: what and where
	Cut      bool          `json:"cut,omitempty"`     // the reply ends inside a block, listing or patch
	Blocks   []BlockReport `json:"blocks,omitempty"`
	Warnings []string      `json:"warnings,omitempty"`

	kept []op // blocks that were fine, for a retry
	bad  []op
}

// BlockReport is one block, hunk, listing or patch section.
type BlockReport struct {
	Number int      `json:"number"`
	Line   int      `json:"line"` // in the reply, from 1
	Format string   `json:"format"`
	Path   string   `json:"path,omitempty"`
	Status Class    `json:"status"`
	Rungs  []string `json:"rungs,omitempty"`
	At     int      `json:"at,omitempty"` // first line in the file, from 1
	Cause  string   `json:"cause,omitempty"`
	Lazy   bool     `json:"lazy,omitempty"` // refused because it leaves code out
	// Corrected says that the file was not the one named, but found by case, tail, folders or content.
	Corrected bool   `json:"corrected,omitempty"`
	ByContent bool   `json:"by_content,omitempty"` // of these, the ones that only the text decided
	Hint      string `json:"-"`                    // what the model is shown
	Asked     string `json:"-"`                    // of a failed block, what it asked for: equal for the same block sent again
}

// Rungs lists every rung that a reply used, sorted.
func (r Report) Rungs() []string {
	seen := map[string]bool{}
	for _, b := range r.Blocks {
		for _, g := range b.Rungs {
			seen[g] = true
		}
	}
	out := make([]string, 0, len(seen))
	for g := range seen {
		out = append(out, g)
	}
	sort.Strings(out)
	return out
}

// Kept says how many blocks of a failed reply were sound.
func (r Report) Kept() int { return len(r.kept) }

type opKind uint8

const (
	opBlock opKind = iota
	opListing
	opDelete
)

// op is one thing that a reply asks for.
type op struct {
	number int
	line   int // in the reply, from 1
	format string
	kind   opKind

	name  string   // the path as given, without decoration; "" when none
	names []string // several path-like words of a sentence

	search  []string
	replace []string
	// body and dividers are set instead of search and replace while it is open which divider counts.
	body     []string
	dividers []int

	hint    int      // line=N or a hunk's number, 0: none
	anchors []string // of a patch section, the outer ones first
	// create marks a section that must make a new file.
	create bool
	// meant marks a short listing that came again after it was refused as a fragment: the file is to become that short.
	meant bool
}

// visible counts the characters of the lines that are not white space.
func visible(lines []string) int {
	n := 0
	for _, l := range lines {
		for _, r := range l {
			if r != ' ' && r != '\t' && r != '\r' && r != 0xa0 {
				n++
			}
		}
	}
	return n
}
