package template

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"nullius.dev/kit/fault"
)

// ReasonData is the reason of data that could not be fetched or made.
const ReasonData = "TEMPLATE_DATA"

// Prepare gets a template's data into its folder: it downloads what has an address, checks size and SHA-256, and then runs the template's own script in the
// sandbox, which has no network. What is there already is left alone. Size is that of the studies to come; empty: data of every size. It returns the files
// that it made.
func (l Lab) Prepare(ctx context.Context, dir string, t *Template, size string, client *http.Client) ([]string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.Wrap(err, fault.Precondition, ReasonWrite, "%s cannot be written", dir)
	}
	defer func() { _ = root.Close() }() // all files are closed
	var made []string
	failed := fault.New(fault.Precondition, ReasonData, "data of template %s is not here", t.Name).
		WithNext("put the files where they are named, or nullius template prepare " + t.Name + " with a network")
	generate := false
	for _, d := range t.Data {
		switch {
		case d.Present || size != "" && len(d.Sizes) > 0 && !slices.Contains(d.Sizes, size):
		case d.Generated:
			generate = true
		case d.URL == "":
			failed = failed.WithField(filepath.Join(dir, d.Path), "no address to fetch it from; SHA-256 "+d.SHA256)
		default:
			if err := fetch(ctx, client, root, d); err != nil {
				failed = failed.WithField(filepath.Join(dir, d.Path), fmt.Sprintf("%s from %s; SHA-256 %s", unwrapped(err), d.URL, d.SHA256))
				continue
			}
			made = append(made, d.Path)
		}
	}
	if len(failed.Violations) > 0 {
		return made, failed
	}
	if !generate {
		return made, nil
	}
	more, err := l.generate(ctx, dir, root, t, size)
	return append(made, more...), err
}

// unwrapped drops the method and address that net/http puts before each error.
func unwrapped(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		return inner.Error()
	}
	return err.Error()
}

// fetch downloads one file beside its place and renames it when size and hash are right.
func fetch(ctx context.Context, client *http.Client, root *os.Root, d Data) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or given up
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	limit := DefaultLimits().FileBytes
	if d.Bytes > 0 {
		limit = d.Bytes
	}
	h := sha256.New()
	return replace(root, d.Path, func(w io.Writer) error {
		n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(resp.Body, limit+1))
		switch sum := hex.EncodeToString(h.Sum(nil)); {
		case err != nil:
			return err
		case n > limit || d.Bytes > 0 && n != d.Bytes:
			return fmt.Errorf("it has %d bytes or more instead of %d", n, limit)
		case sum != d.SHA256:
			return fmt.Errorf("its SHA-256 is %s", sum)
		}
		return nil
	})
}

// replace writes a file of the template under another name first, so that no half of one is ever found.
func replace(root *os.Root, name string, write func(io.Writer) error) (err error) {
	if dir := filepath.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	part := name + ".part"
	f, err := root.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Close()); err == nil {
		err = root.Rename(part, name)
	}
	if err != nil {
		_ = root.Remove(part) // the first error tells more
	}
	return err
}

// generate runs the template's script on a copy and takes the declared files.
func (l Lab) generate(ctx context.Context, dir string, root *os.Root, t *Template, size string) ([]string, error) {
	b, err := l.open(ctx, dir, t)
	if err != nil {
		return nil, err
	}
	defer b.remove()
	if size == "" {
		size = t.DefaultSize()
	}
	res, said, err := b.run(ctx, script{argv: []string{t.Prepare}, size: size, wall: t.TimeLimit, writable: []string{"."}})
	if err != nil {
		return nil, err
	}
	r := &report{}
	if !b.ended(r, t.Prepare, t.TimeLimit, res, said) {
		return nil, Refusal(t.Name, r.findings)
	}
	var made []string
	for _, d := range t.Data {
		if !d.Generated || d.Present {
			continue
		}
		if err := take(root, b.tree, d); err != nil {
			r.add(Finding{Rule: "data.generated", Path: d.Path, Found: err.Error(), Expected: "a file that " + t.Prepare + " makes"})
			continue
		}
		made = append(made, d.Path)
	}
	return made, Refusal(t.Name, r.findings)
}

// take copies a file that the script made, never through a link.
func take(root *os.Root, tree string, d Data) error {
	from, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // read only
	info, err := from.Lstat(d.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("no such file")
	case err != nil:
		return errors.New(reason(err))
	case !info.Mode().IsRegular():
		return errors.New("no regular file")
	case info.Size() > DefaultLimits().FileBytes || d.Bytes > 0 && info.Size() != d.Bytes:
		return fmt.Errorf("%d bytes", info.Size())
	}
	f, err := from.Open(d.Path)
	if err != nil {
		return errors.New(reason(err))
	}
	defer func() { _ = f.Close() }() // read only
	h := sha256.New()
	return replace(root, d.Path, func(w io.Writer) error {
		if _, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(f, DefaultLimits().FileBytes)); err != nil {
			return err
		}
		if sum := hex.EncodeToString(h.Sum(nil)); d.SHA256 != "" && sum != d.SHA256 {
			return fmt.Errorf("SHA-256 %s instead of %s", sum, d.SHA256)
		}
		return nil
	})
}

// copyFile writes one file of a file system; a script's right to be run stays.
func copyFile(to string, from fs.FS, name string) error {
	in, err := from.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // read only
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644|info.Mode().Perm()&0o111)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
