//go:build !race

package poptrie

// raceEnabled: see race_on.go.
const raceEnabled = false
