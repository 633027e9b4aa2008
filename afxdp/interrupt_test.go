package afxdp

import (
	"maps"
	"testing"
)

// TestQueueInterrupts: the names that drivers give their interrupts.
func TestQueueInterrupts(t *testing.T) {
	const table = `           CPU0       CPU1
  4:          1          0   IO-APIC    4-edge      ttyS0
 24:          0          0   PCI-MSIX-0000:00:02.0   0-edge      virtio1-config
 25:         11          2   PCI-MSIX-0000:00:02.0   1-edge      virtio1-input.0
 26:         12          2   PCI-MSIX-0000:00:02.0   2-edge      virtio1-output.0
 27:         12          2   PCI-MSIX-0000:00:02.0   3-edge      virtio1-input.1
 31:         12          2   PCI-MSIX-0000:00:03.0   0-edge      eth7-TxRx-1
 32:         12          2   PCI-MSIX-0000:00:03.0   1-edge      mlx5_comp1@pci:0000:5e:00.0
 33:         12          2   PCI-MSIX-0000:00:03.0   1-edge      eth7-TxRx-9
NMI:          0          0   Non-maskable interrupts
`
	got := queueInterrupts(table, []string{"24", "25", "26", "27", "31", "32", "33"}, 2)
	if want := map[string]int{"25": 0, "26": 0, "27": 1, "31": 1, "32": 1}; !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}
