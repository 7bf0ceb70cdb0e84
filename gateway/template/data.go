package template

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

var hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// dataEntries reads the data section; whether the files are there is data's part.
func (c *checker) dataEntries(n *yaml.Node, hasScript bool) {
	seen := map[string]bool{}
	for _, item := range c.sequence(n, "data") {
		m := c.mapping(item, "data", []string{"path", "sha256", "bytes", "licence", "url", "sizes", "generated"})
		if m == nil {
			continue
		}
		if m["path"] == nil {
			c.bad(item, "data.path", "no path", "the file's path in the template", "path: data/NAME")
			continue
		}
		d := Data{Path: c.str(m["path"], "data.path", "a path in the template")}
		if problem := globProblem(d.Path); d.Path != "" && (problem != "" || strings.ContainsAny(d.Path, "*?[")) {
			c.bad(m["path"], "data.path", quote(d.Path), "a plain path in the template", "")
			continue
		}
		if seen[d.Path] {
			c.bad(m["path"], "data.path", quote(d.Path)+" twice", "each file once", "")
		}
		seen[d.Path] = true
		c.dataDetails(&d, item, m, hasScript)
		c.t.Data = append(c.t.Data, d)
	}
}

func (c *checker) dataDetails(d *Data, item *yaml.Node, m map[string]*yaml.Node, hasScript bool) {
	if v := m["generated"]; v != nil {
		d.Generated = c.boolean(v, "data.generated")
	}
	if v := m["sha256"]; v != nil {
		d.SHA256 = c.matching(v, "data.sha256", hashPattern, "64 lower-case hexadecimal digits")
	} else if !d.Generated {
		c.bad(item, "data.sha256", "no sha256", "the file's SHA-256", "sha256sum "+d.Path)
	}
	if v := m["bytes"]; v != nil {
		d.Bytes = int64(c.bytes(v, "data.bytes"))
	}
	if v := m["licence"]; v != nil {
		d.Licence = c.str(v, "data.licence", "a licence such as CC0-1.0")
	}
	if v := m["url"]; v != nil {
		d.URL = c.str(v, "data.url", "an https address")
		if u, err := url.Parse(d.URL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			c.bad(v, "data.url", show(v), "an https address without a password", "")
		}
	}
	for _, s := range c.sequence(m["sizes"], "data.sizes") {
		d.Sizes = append(d.Sizes, c.oneOf(s, "data.sizes", sizeNames))
	}
	if d.Generated && !hasScript {
		c.bad(item, "data.generated", "generated data without a script", "prepare: at the top level", "prepare: prepare.py")
	}
}

// data compares the declared files with those that are there.
func (c *checker) data() {
	for i := range c.t.Data {
		d := &c.t.Data[i]
		c.t.Protected = append(c.t.Protected, d.Path) // data is the same for all runs
		size, ok := c.files[d.Path]
		if !ok {
			fix, expected := "putting the file there", "data that the prepare script makes"
			if d.SHA256 != "" {
				expected = "data with SHA-256 " + d.SHA256
			}
			switch {
			case d.Generated && c.t.Prepare != "", d.URL != "":
				fix = "nullius template prepare " + c.o.Name
			}
			needed := c.o.Size == "" || len(d.Sizes) == 0 || slices.Contains(d.Sizes, c.o.Size)
			c.warn(Finding{Rule: "data.missing", BlocksStart: needed, Path: d.Path, Found: "no such file", Expected: expected, Fix: fix})
			continue
		}
		d.Present = true
		if d.Bytes > 0 && size != d.Bytes {
			c.add(Finding{Rule: "data.size", Path: d.Path, Found: fmt.Sprintf("%d bytes", size), Expected: fmt.Sprintf("%d", d.Bytes), Fix: "fetching it again"})
			continue
		}
		if d.SHA256 == "" {
			continue
		}
		sum, err := c.hash(d.Path)
		if err != nil {
			c.add(Finding{Rule: "file.unreadable", Path: d.Path, Found: quote(reason(err)), Expected: "a file that can be read"})
		} else if sum != d.SHA256 {
			c.add(Finding{Rule: "data.hash", Path: d.Path, Found: "SHA-256 " + sum, Expected: d.SHA256, Fix: "fetching it again"})
		}
	}
}

func (c *checker) hash(name string) (string, error) {
	f, err := c.fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // read only: nothing is lost
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, c.limits.FileBytes)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
