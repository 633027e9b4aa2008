package daemon

import (
	"fmt"
	"testing"
)

// TestParsePoll: what plans say for three workers, and what is refused.
func TestParsePoll(t *testing.T) {
	for text, want := range map[string]string{
		"adaptive":                    "[adaptive adaptive adaptive]",
		"busy":                        "[busy busy busy]",
		"1=busy":                      "[adaptive busy adaptive]",
		"interrupt,0=busy":            "[busy interrupt interrupt]",
		"2=adaptive,busy,0=interrupt": "[interrupt busy adaptive]",
		"":                            `"" is no polling mode: it is one of adaptive, busy, interrupt`,
		"fast":                        `"fast" is no polling mode: it is one of adaptive, busy, interrupt`,
		"busy,":                       `"" is no polling mode: it is one of adaptive, busy, interrupt`,
		"busy,interrupt":              `"busy,interrupt": more than one mode for all workers`,
		"0=busy,0=busy":               `"0=busy,0=busy": more than one mode for worker 0`,
		"-1=busy":                     `"-1" is no worker: it is a number from 0, as in 0=busy`,
		"0=":                          `"" is no polling mode: it is one of adaptive, busy, interrupt`,
		"3=busy":                      "--poll: there is no worker 3: with 3 CPUs they are 0 to 2",
	} {
		plan, err := ParsePoll(text)
		if err == nil {
			modes, later := plan.modes(3)
			if err = later; err == nil {
				if got := fmt.Sprint(modes); got != want {
					t.Errorf("%q: %s, want %s", text, got, want)
				}
				continue
			}
		}
		if err.Error() != want {
			t.Errorf("%q: %q, want %q", text, err, want)
		}
	}
}
