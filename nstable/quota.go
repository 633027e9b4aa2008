package nstable

import "nsrouter/nstable/setting"

// Quotas of a namespace bound what it may have of what takes memory. They refuse more; what is there when one is lowered
// stays. Routes have theirs in checkRoom, learned neighbours in the data plane.

// checkQuota refuses more of something than a namespace may have.
func checkQuota(ns *namespace, quota, what string, has, more int, limit uint32) error {
	if limit == 0 || has+more <= int(limit) {
		return nil
	}
	return fail(Refused, "No space left on device: namespace %s has %d %s, and may have %d (netns set %s %s N allows more)",
		ns.name, has, what, limit, ns.name, quota)
}

// checkDevices refuses more devices than a namespace may have.
func checkDevices(ns *namespace, more int) error {
	return checkQuota(ns, setting.DevicesMax, "devices besides lo", len(ns.byName)-1, more, ns.settings.MaxDevices)
}

// checkAddresses refuses another address.
func checkAddresses(ns *namespace) error {
	limit := ns.settings.MaxAddresses
	if limit == 0 {
		return nil
	}
	has := 0
	for _, d := range ns.byName {
		has += len(d.addrs)
		if n := len(d.addrs); n > 0 && d.addrs[n-1].automatic { // only the last can be
			has--
		}
	}
	return checkQuota(ns, setting.AddressesMax, "addresses", has, 1, limit)
}

// checkNextHops refuses another next-hop object.
func checkNextHops(ns *namespace) error {
	return checkQuota(ns, setting.NextHopsMax, "nexthop objects", ns.rib.NumObjects(), 1, ns.settings.MaxNextHops)
}

// checkPermanent refuses another permanent neighbour.
func checkPermanent(ns *namespace) error {
	limit := ns.settings.MaxPermanent
	if limit == 0 {
		return nil
	}
	has := 0
	for _, d := range ns.byName {
		has += len(d.permanent.macs)
	}
	return checkQuota(ns, setting.PermanentMax, "permanent neighbours", has, 1, limit)
}
