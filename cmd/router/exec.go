package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/internal/netns"
)

// netnsExec becomes the command, inside the namespace. Within a batch, which goes on afterwards, a child does that.
func (c *cli) netnsExec(ctx context.Context, a *args) error {
	if c.allNetns {
		return c.execEverywhere(ctx, a)
	}
	name := a.namespace("exec")
	if a.more() && a.peek() == "--" {
		a.at++
	}
	if !a.more() {
		a.fail("command line is not complete: no command specified: \"netns exec NAME CMD\"")
		return a.err
	}
	words := a.rest()
	if c.queue != nil {
		return c.execChild(ctx, name, words)
	}
	got, err := c.client.GetNetnsPath(ctx, &v1.GetNetnsPathRequest{Netns: name})
	if err != nil {
		return err
	}
	if err := enter(got.Path, name, c.err); err != nil {
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
			return fmt.Errorf("netns exec %s: %w: it needs CAP_SYS_ADMIN: run it as root", name, errno(err))
		}
		return fmt.Errorf("netns exec %s: %w", name, err)
	}
	path, err := exec.LookPath(words[0])
	if err != nil {
		return fmt.Errorf("exec of %q failed: %w", words[0], errors.Unwrap(err))
	}
	return fmt.Errorf("exec of %q failed: %w", words[0], syscall.Exec(path, words, os.Environ()))
}

// execEverywhere runs the command in each namespace, one after the other, as "ip -all netns exec" does: whether it fails in
// one or not.
func (c *cli) execEverywhere(ctx context.Context, a *args) error {
	if a.more() && a.peek() == "--" {
		a.at++
	}
	if !a.more() {
		a.fail("command line is not complete: no command specified: \"-all netns exec CMD\"")
		return a.err
	}
	words := a.rest()
	stream, err := c.client.ListNetns(ctx, &v1.ListNetnsRequest{})
	if err != nil {
		return err
	}
	var names []string
	for stream.Receive() {
		for _, n := range stream.Msg().GetNetns() {
			names = append(names, n.GetName())
		}
	}
	if err := errors.Join(stream.Err(), stream.Close()); err != nil {
		return err
	}
	var failed error
	for _, name := range names {
		if _, err := fmt.Fprintf(c.out, "\nnetns: %s\n", name); err != nil {
			return err
		}
		if err := c.execChild(ctx, name, words); err != nil && failed == nil {
			failed = fmt.Errorf("netns exec %s: %w", name, err)
		}
	}
	return failed
}

// errno is the kernel's reason alone.
func errno(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return err
}

func (c *cli) execChild(ctx context.Context, name string, words []string) error {
	if err := c.out.Flush(); err != nil {
		return err
	}
	words = append([]string{"--socket", c.socket, "netns", "exec", name, "--"}, words...)
	cmd := exec.CommandContext(ctx, "/proc/self/exe", words...)
	if c.queue == nil { // else that may be the batch
		cmd.Stdin = os.Stdin
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, c.err
	return cmd.Run()
}

// enter moves the calling thread into the network namespace at path, for good, and into a mount namespace of its own,
// where /sys shows that network namespace and the files of /etc/netns/NAME lie over those of /etc. This is what "ip
// netns exec" does (iproute2, lib/namespace.c, netns_switch).
func enter(path, name string, warnings io.Writer) error {
	ns, err := netns.OfPath(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := ns.Enter(); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "none", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	if err := remountSys(name); err != nil {
		return err
	}
	bindEtc(name, warnings)
	return nil
}

// remountSys mounts /sys anew, read-only if it was so (as in a container).
func remountSys(name string) error {
	var flags uintptr
	if unix.Unmount("/sys", unix.MNT_DETACH) != nil {
		var fs unix.Statfs_t // it cannot be taken away: mount over it
		if unix.Statfs("/sys", &fs) == nil && fs.Flags&unix.ST_RDONLY != 0 {
			flags = unix.MS_RDONLY
		}
	}
	if err := unix.Mount(name, "/sys", "sysfs", flags, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	return nil
}

// bindEtc binds what is in /etc/netns/NAME over its namesake in /etc. What has none there cannot be bound, which is told
// and no reason not to start the command, as with iproute2.
func bindEtc(name string, warnings io.Writer) {
	dir := filepath.Join("/etc/netns", filepath.Base(name))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // most namespaces have none
	}
	for _, e := range entries {
		from, to := filepath.Join(dir, e.Name()), filepath.Join("/etc", e.Name())
		if err := unix.Mount(from, to, "none", unix.MS_BIND, ""); err != nil {
			fmt.Fprintf(warnings, "Bind %s -> %s failed: %v\n", from, to, err)
		}
	}
}
