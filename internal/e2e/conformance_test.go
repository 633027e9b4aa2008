package e2e

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// conformance is the table of what the RFCs demand.
const conformance = "../../docs/conformance.md"

// conformanceRow is a row of a table: its cells, and the heading that it stands under.
type conformanceRow struct {
	line    int
	heading string
	cells   []string
}

func conformanceRows(t *testing.T) []conformanceRow {
	t.Helper()
	text, err := os.ReadFile(conformance)
	if err != nil {
		t.Fatal(err)
	}
	var rows []conformanceRow
	heading := ""
	for i, line := range strings.Split(string(text), "\n") {
		if h, ok := strings.CutPrefix(line, "## "); ok {
			heading = h
		}
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), "|")
		for k := range cells {
			cells[k] = strings.TrimSpace(cells[k])
		}
		if cells[len(cells)-1] != "test" { // the head of a table
			rows = append(rows, conformanceRow{i + 1, heading, cells})
		}
	}
	return rows
}

// testFunctions are the names of all test functions of the tree.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && d.Name() != "." {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			if fn := functionName(decl); strings.HasPrefix(fn, "Test") || strings.HasPrefix(fn, "Fuzz") {
				names[fn] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestConformance: every row of the conformance table names a test, and the tests that it names exist.
func TestConformance(t *testing.T) {
	rows, tests := conformanceRows(t), testFunctions(t)
	name := regexp.MustCompile(`\b(?:Test|Fuzz)\w+`)
	columns := map[string]int{}
	for _, r := range rows {
		if n, ok := columns[r.heading]; ok && n != len(r.cells) {
			t.Errorf("%s:%d: %d columns, the rows before it have %d", conformance, r.line, len(r.cells), n)
		}
		columns[r.heading] = len(r.cells)
		named := name.FindAllString(r.cells[len(r.cells)-1], -1)
		if len(named) == 0 {
			t.Errorf("%s:%d: no test for %q (%s)", conformance, r.line, r.cells[1], r.heading)
		}
		for _, n := range named {
			if !tests[n] {
				t.Errorf("%s:%d: there is no test %s", conformance, r.line, n)
			}
		}
	}
	if len(rows) < 100 {
		t.Errorf("only %d rows", len(rows))
	}
}

// functionName is the name of a function that is no method, or empty.
func functionName(decl ast.Decl) string {
	if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
		return fn.Name.Name
	}
	return ""
}
