package poptrie_test

import (
	"fmt"
	"net/netip"

	"nsrouter/fib/poptrie"
)

// A reader announces between its batches that it is inside no look-up, and goes offline before it sleeps; one writer changes the table
// meanwhile.
func Example() {
	epochs := new(poptrie.Epochs)
	table, err := poptrie.New(poptrie.IPv4, poptrie.Options{Grace: epochs})
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan []poptrie.ID)
	go func() {
		reader := epochs.Join()
		defer epochs.Leave(reader)
		ids := make([]poptrie.ID, 2)
		for ids[0] == 0 {
			reader.Quiesce()
			table.Lookup4([]uint32{10<<24 | 1, 192<<24 | 1}, ids)
		}
		done <- ids
	}()
	if err := table.Insert(netip.MustParsePrefix("10.0.0.0/8"), 7); err != nil {
		fmt.Println(err)
	}
	fmt.Println(<-done)
	table.Close()
	// Output: [7 0]
}
