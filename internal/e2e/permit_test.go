package e2e

import "testing"

// permit is a difference between this router and Linux that is meant. Its name is that of a row in docs/conformance.md,
// which has the reason for users.
type permit struct {
	name   string
	reason string
	match  func(o *outcome) bool
	used   int
}

type permits []*permit

func newPermits() permits {
	return permits{}
}

// permit tells whether a difference is meant, and counts it.
func (p permits) permit(o *outcome) bool {
	for _, x := range p {
		if x.match(o) {
			x.used++
			return true
		}
	}
	return false
}

// check fails the test for a permission that nothing has used: it may hide something one day.
func (p permits) check(t *testing.T) {
	t.Helper()
	for _, x := range p {
		t.Logf("%d differences: %s: %s", x.used, x.name, x.reason)
		if x.used == 0 {
			t.Errorf("no packet needs the permission %q", x.name)
		}
	}
}
