// Package collect takes files out of a folder in which a hostile program has
// written. Nothing runs there any more, but every name in it may be a trap, so
// files are opened beneath a directory handle without following any link, and
// only regular files with one name are read.
package collect

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/store"
)

// Caps on what is collected from one run.
const (
	MaxFiles   = 5_000
	MaxDepth   = 32
	MaxName    = 255
	maxRefused = 50
)

// Rule declares outputs.
type Rule struct {
	Glob     string // "*" stays within a folder, "**" does not
	MaxBytes uint64 // of each file
}

// Refused is a file that was not taken.
type Refused struct{ Path, Reason string }

// Taken is what was collected.
type Taken struct {
	Files   []store.File
	Refused []Refused
	Others  []string // files outside the rules, by path
}

// From collects the files under root that a rule matches. Paths are relative
// to root; total bounds the sum of sizes.
func From(ctx context.Context, blobs store.Blobs, root, under string, rules []Rule, total uint64) (Taken, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Taken{}, fmt.Errorf("open %s: %w", root, err)
	}
	defer unix.Close(fd)
	c := &collector{ctx: ctx, blobs: blobs, root: fd, rules: rules, left: total, done: map[string]bool{}}
	if err := c.named(under); err != nil {
		return Taken{}, err
	}
	if err := c.folder(under, 0); err != nil {
		return Taken{}, err
	}
	sort.Slice(c.out.Files, func(i, j int) bool { return c.out.Files[i].Path < c.out.Files[j].Path })
	return c.out, nil
}

type collector struct {
	ctx   context.Context
	blobs store.Blobs
	root  int
	rules []Rule
	left  uint64
	seen  int
	done  map[string]bool // paths that were taken or refused by their whole name
	out   Taken
}

// named takes first what is declared by its whole name: no crowd of other files can hide it.
func (c *collector) named(under string) error {
	for _, r := range c.rules {
		p := r.Glob
		var st unix.Stat_t
		if strings.ContainsAny(p, `*?[\`) || under != "" && !strings.HasPrefix(p, under+"/") || c.done[p] ||
			c.stat(p, &st) != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR {
			continue
		}
		if err := c.entry(p, path.Base(p), 0); err != nil {
			return err
		}
		c.done[p] = true
	}
	return nil
}

func (c *collector) refuse(p, format string, a ...any) {
	if len(c.out.Refused) < maxRefused {
		c.out.Refused = append(c.out.Refused, Refused{escape(p), fmt.Sprintf(format, a...)})
	}
}

// escape makes a path that may hold anything fit for a message: valid UTF-8, printable, not long.
func escape(p string) string {
	q := strconv.QuoteToGraphic(p)
	q = q[1 : len(q)-1]
	if len(q) > 512 {
		q = strings.ToValidUTF8(q[:512], "") + "…"
	}
	return q
}

// open opens beneath the root, through no link of any kind.
func (c *collector) open(p string, flags uint64) (*os.File, error) {
	if flags&unix.O_PATH == 0 {
		flags |= unix.O_NONBLOCK // a pipe must not make us wait
	}
	fd, err := unix.Openat2(c.root, p, &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC | unix.O_NOFOLLOW,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), p), nil
}

func (c *collector) folder(p string, depth int) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if depth > MaxDepth {
		c.refuse(p, "more than %d folders deep", MaxDepth)
		return nil
	}
	at := p
	if at == "" {
		at = "."
	}
	d, err := c.open(at, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		c.refuse(p, "cannot be opened as a folder: %v", err)
		return nil
	}
	defer d.Close()
	names, err := d.Readdirnames(MaxFiles + 1)
	if err != nil && err != io.EOF {
		c.refuse(p, "cannot be listed: %v", err)
		return nil
	}
	if len(names) > MaxFiles {
		c.refuse(p, "more than %d entries", MaxFiles)
		names = names[:MaxFiles]
	}
	sort.Strings(names)
	for _, name := range names {
		if c.seen++; c.seen > 4*MaxFiles {
			c.refuse(p, "too many files")
			return nil
		}
		if err := c.entry(path.Join(p, name), name, depth); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) entry(p, name string, depth int) error {
	if c.done[p] {
		return nil
	}
	if len(name) > MaxName || store.CheckPath(p) != nil {
		c.refuse(p, "the name is not allowed")
		return nil
	}
	var st unix.Stat_t
	if err := c.stat(p, &st); err != nil {
		c.refuse(p, "%v", err)
		return nil
	}
	rule, declared := c.match(p)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return c.folder(p, depth+1)
	case unix.S_IFREG:
		if !declared {
			c.out.Others = append(c.out.Others, p)
			return nil
		}
		return c.file(p, rule)
	}
	if declared {
		c.refuse(p, "not a regular file")
	}
	return nil
}

func (c *collector) stat(p string, st *unix.Stat_t) error {
	f, err := c.open(p, unix.O_PATH)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Fstat(int(f.Fd()), st)
}

func (c *collector) match(p string) (Rule, bool) {
	for _, r := range c.rules {
		if Match(r.Glob, p) {
			return r, true
		}
	}
	return Rule{}, false
}

func (c *collector) file(p string, r Rule) error {
	if len(c.out.Files) >= MaxFiles {
		c.refuse(p, "more than %d files", MaxFiles)
		return nil
	}
	f, err := c.open(p, unix.O_RDONLY)
	if err != nil {
		c.refuse(p, "cannot be opened: %v", err)
		return nil
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		c.refuse(p, "%v", err)
		return nil
	}
	size := uint64(max(st.Size, 0))
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		c.refuse(p, "not a regular file")
		return nil
	case st.Nlink != 1:
		c.refuse(p, "the file has %d names", st.Nlink)
		return nil
	case r.MaxBytes > 0 && size > r.MaxBytes:
		c.refuse(p, "%d bytes, allowed are %d", size, r.MaxBytes)
		return nil
	case size > c.left:
		c.refuse(p, "the outputs together are too large")
		return nil
	}
	digest, n, err := c.blobs.Put(c.ctx, io.LimitReader(f, st.Size+1))
	if err != nil {
		return fmt.Errorf("store %s: %w", p, err)
	}
	if n != st.Size {
		c.refuse(p, "the size changed while it was read")
		return nil
	}
	c.left -= size
	mode := uint32(0o644)
	if st.Mode&0o100 != 0 {
		mode = 0o755
	}
	c.out.Files = append(c.out.Files, store.File{Path: p, Mode: mode, Size: n, Digest: digest})
	return nil
}

// Same tells whether a file beneath root is a regular one with the content it had. One of another size is not read: it may be as large as a file can
// be, and there may be many.
func Same(root string, was store.File) bool {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	c := &collector{root: fd}
	f, err := c.open(was.Path, unix.O_RDONLY)
	if err != nil {
		return false
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() != was.Size {
		return false
	}
	now, err := digestOf(io.LimitReader(f, was.Size+1))
	return err == nil && now == was.Digest
}

// Match tells whether a glob matches a path: "?" and "*" stay within one
// segment, "**" stands for any number of segments.
func Match(glob, p string) bool {
	return match(strings.Split(glob, "/"), strings.Split(p, "/"))
}

func match(g, p []string) bool {
	for len(g) > 0 {
		if g[0] == "**" {
			if len(g) == 1 {
				return len(p) > 0
			}
			for i := range len(p) + 1 {
				if match(g[1:], p[i:]) {
					return true
				}
			}
			return false
		}
		if len(p) == 0 {
			return false
		}
		if ok, err := path.Match(g[0], p[0]); err != nil || !ok {
			return false
		}
		g, p = g[1:], p[1:]
	}
	return len(p) == 0
}

// GlobError tells what is wrong with a glob, or nil.
func GlobError(glob string) error {
	if glob == "" || strings.HasPrefix(glob, "/") || len(glob) > 512 || strings.Count(glob, "**") > 2 {
		return fmt.Errorf("%.80q is not a relative glob", glob)
	}
	for seg := range strings.SplitSeq(glob, "/") {
		if seg == ".." {
			return fmt.Errorf("%.80q leaves the tree", glob)
		}
		if _, err := path.Match(seg, ""); err != nil {
			return fmt.Errorf("%.80q: %w", glob, err)
		}
	}
	return nil
}
