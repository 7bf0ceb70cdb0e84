package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	reasonForm  = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)
	reasonEntry = regexp.MustCompile("(?m)^\\| `([A-Z0-9_]+)` \\| (.+) \\| (.+) \\|$")
)

// reasonsInCode finds what faults give as their reason: literals in fault.New and fault.Wrap, and constants named Reason….
func reasonsInCode(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); path != root && (strings.HasPrefix(n, ".") || n == "gen" || n == "tools" || n == "kittest" || n == "llmtest") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		take := func(e ast.Expr) {
			if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if s, err := strconv.Unquote(l.Value); err == nil && reasonForm.MatchString(s) {
					found[s] = path
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				take(reasonArgument(n))
			case *ast.ValueSpec:
				for i, name := range n.Names {
					if strings.HasPrefix(strings.ToLower(name.Name), "reason") && i < len(n.Values) {
						take(n.Values[i])
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// reasonArgument gives the argument of a call that makes a fault which holds its reason.
func reasonArgument(c *ast.CallExpr) ast.Expr {
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	if p, ok := s.X.(*ast.Ident); !ok || p.Name != "fault" {
		return nil
	}
	at := map[string]int{"New": 1, "Wrap": 2}[s.Sel.Name]
	if at == 0 || at >= len(c.Args) {
		return nil
	}
	return c.Args[at]
}

// TestErrors_documented: every reason that code gives has its cause and next step in docs/errors.md, and nothing else stands there.
func TestErrors_documented(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	var order []string
	for _, m := range reasonEntry.FindAllStringSubmatch(string(text), -1) {
		if listed[m[1]] {
			t.Errorf("%s is listed twice", m[1])
		}
		listed[m[1]] = true
		order = append(order, m[1])
	}
	if !slices.IsSorted(order) {
		t.Error("the list is not sorted by reason")
	}
	code := reasonsInCode(t, root)
	for reason, path := range code {
		if !listed[reason] {
			t.Errorf("docs/errors.md lacks %s of %s", reason, path)
		}
	}
	for reason := range listed {
		if code[reason] == "" {
			t.Errorf("docs/errors.md lists %s, which no code gives", reason)
		}
	}
}
