package afxdp

import (
	"fmt"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// setQueues gives the interface n queues, or leaves it as it is where n is 0, and returns how many receive queues it
// has.
func (i *Interface) setQueues(n int, a *netlink.LinkAttrs) (int, error) {
	was, err := i.eth.GetChannels(i.host)
	if err != nil || was.RxCount+was.CombinedCount == 0 {
		// The driver does not tell. What it allocated is what it has.
		if n != 0 && n != a.NumRxQueues {
			return 0, fmt.Errorf("queues %d: the driver cannot change their number: use queues %d", n, a.NumRxQueues)
		}
		return max(a.NumRxQueues, 1), nil
	}
	now := was
	if n != 0 && n != receiveQueues(was) {
		if now, err = i.changeChannels(n, was); err != nil {
			return 0, err
		}
	}
	if int(now.TxCount+now.CombinedCount) < receiveQueues(now) {
		return 0, fmt.Errorf("%d receive queues but %d transmit queues: each queue needs both: use queues %d",
			receiveQueues(now), now.TxCount+now.CombinedCount, now.TxCount+now.CombinedCount)
	}
	return receiveQueues(now), nil
}

func receiveQueues(c ethtool.Channels) int { return int(c.RxCount + c.CombinedCount) }

// changeChannels makes it n receive queues with as many transmit queues.
func (i *Interface) changeChannels(n int, was ethtool.Channels) (ethtool.Channels, error) {
	want, limit := was, was.MaxCombined
	if was.MaxCombined > 0 {
		want.CombinedCount, want.RxCount, want.TxCount = uint32(n), 0, 0
	} else {
		limit = min(was.MaxRx, was.MaxTx)
		want.RxCount, want.TxCount = uint32(n), uint32(n)
	}
	if n < 0 || n > int(limit) {
		return was, fmt.Errorf("queues %d: the interface has 1 to %d", n, limit)
	}
	if err := i.change(channelsSetting(was), func() error { return i.setChannels(i.host, want) }); err != nil {
		return was, fmt.Errorf("queues %d: set the number of channels (ethtool -L): %w", n, err)
	}
	return want, nil
}

// setChannels waits where it has to: a queue cannot go while a socket is bound to it (net/ethtool/channels.c), nor for
// some time after.
func (i *Interface) setChannels(host string, c ethtool.Channels) error {
	return patiently(unix.EINVAL, func() error {
		_, err := i.eth.SetChannels(host, c)
		return err
	})
}
