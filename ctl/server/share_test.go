package server

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/api/nsrouter/v1/nsrouterv1connect"
	"nsrouter/internal/netns"
)

// TestManyOfOne: one user cannot keep others out, neither by connections nor by requests that do not end.
func TestManyOfOne(t *testing.T) {
	s := tenancy(t, Options{})
	s.must(ownerSet("red", fmt.Sprintf("user:%d", alice), v1.Role_ROLE_READ), ownerSet("red", "user:64002", v1.Role_ROLE_READ))
	conns := s.connectMany(peer{uid: alice, gid: alice})
	if err := s.list(s.as(alice)); err == nil {
		t.Error("more connections than a user may have are served")
	}
	for _, c := range []nsrouterv1connect.RouterServiceClient{s.as(bob), peer{}.client(t, s.delegated(SelfSocket))} {
		if err := s.list(c); err != nil {
			t.Errorf("others: %v", err)
		}
	}
	for _, c := range conns {
		c.Close()
	}
	c := s.as(alice)
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = s.list(c); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("after they were closed: %v", err)
	}
	for range maxRequests {
		stream, err := c.Monitor(t.Context(), &v1.MonitorRequest{Netns: "red"})
		if err != nil || !stream.Receive() {
			t.Fatal(err, stream.Err())
		}
		defer stream.Close()
	}
	if err := s.list(c); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("one request too many: %v", err)
	}
	if err := s.list(s.as(bob)); err != nil {
		t.Errorf("another user: %v", err)
	}
}

// connectMany makes as many connections as nobody may have.
func (s *service) connectMany(u peer) (conns []net.Conn) {
	s.t.Helper()
	for range 2 * maxConnections {
		conn, err := u.dial(s.delegated(SelfSocket))
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	return conns
}

func (s *service) list(c nsrouterv1connect.RouterServiceClient) error {
	return drain(c.ListLinks(s.t.Context(), &v1.ListLinksRequest{Netns: "red"}))
}

// TestStrangersShare: however many users somebody is who has no right, the owners have their connections.
func TestStrangersShare(t *testing.T) {
	s := tenancy(t, Options{})
	s.must(ownerSet("red", fmt.Sprintf("user:%d", alice), v1.Role_ROLE_READ))
	for i := range 2 * maxConnections {
		conn, err := peer{uid: 70000 + uint32(i), gid: 70000}.dial(s.delegated(SelfSocket))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if err := s.list(peer{uid: 80000, gid: 80000}.client(t, s.delegated(SelfSocket))); err == nil || isDenied(err) {
		t.Errorf("one stranger too many is heard: %v", err)
	}
	if err := s.list(s.as(alice)); err != nil {
		t.Errorf("owner: %v", err)
	}
}

// TestTally: what a share has, and what all have, is bounded, and can be had again when it is given back.
func TestTally(t *testing.T) {
	var c tally
	a, b := share{ofUser, 1}, share{ofNamespace, 1}
	for i, try := range []struct {
		of   share
		want bool
	}{{a, true}, {a, true}, {a, false}, {b, true}, {b, false}, {share{}, false}} {
		if got := c.enter(try.of, 2, 3); got != try.want {
			t.Errorf("entry %d: %v", i, got)
		}
	}
	c.leave(a)
	if !c.enter(b, 2, 3) || c.enter(a, 2, 3) {
		t.Error("what was given back")
	}
	c.leave(b)
	c.leave(b)
	c.leave(a)
	if len(c.count) != 0 || c.total != 0 {
		t.Errorf("%v is left", c.count)
	}
}

// TestOthersMessages: an owner's messages, and what a load of theirs keeps, are bounded more than root's; batches at once too.
func TestOthersMessages(t *testing.T) {
	s := tenancy(t, Options{})
	s.must(ownerSet("red", fmt.Sprintf("user:%d", alice), v1.Role_ROLE_ADMIN))
	long := func(n int) *v1.ChangeRequest { return addrAdd("red", strings.Repeat("x", n), "10.0.0.1/24") }
	c := s.as(alice)
	for name, who := range map[string]nsrouterv1connect.RouterServiceClient{"root": s.client, "owner": c} {
		_, err := who.Change(t.Context(), long(maxOthersMessage))
		_, bulkErr := batchOf(who, false, long(maxOthersBulk))
		for _, err := range []error{err, bulkErr} {
			if exhausted := connect.CodeOf(err) == connect.CodeResourceExhausted; exhausted != (name == "owner") {
				t.Errorf("%s: long message: %.200s", name, fmt.Sprint(err))
			}
		}
	}
	if r, err := batchOf(c, false, long(maxOthersBulk-1000)); err != nil || len(r.Failures) != 1 {
		t.Errorf("message that is not too long: %v", err)
	}
	first := &v1.LoadRoutesRequest{Netns: "red", Verb: v1.Verb_VERB_ADD, Whole: true,
		Routes: []*v1.RouteChange{{Type: v1.RouteType_ROUTE_TYPE_BLACKHOLE, Prefix: "0.0.0.0/0"}}}
	parts := []*v1.LoadRoutesRequest{first}
	for range maxOthersWhole/(maxOthersBulk/4) + 1 {
		parts = append(parts, &v1.LoadRoutesRequest{Prefixes: []byte(strings.Repeat("\x00\x08\x14", maxOthersBulk/4))})
	}
	if err := loadOf(c, parts...); !isDenied(err) || !strings.Contains(err.Error(), "all or nothing") {
		t.Errorf("whole load: %v", err)
	}
	for range maxBulk {
		stream, err := c.Batch(t.Context())
		if err == nil {
			err = stream.Send(&v1.BatchRequest{})
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = stream.CloseAndReceive() }()
	}
	waitFor(t, "batches to begin", func() bool {
		s.server.bulk.mu.Lock()
		defer s.server.bulk.mu.Unlock()
		return s.server.bulk.total == maxBulk
	})
	if _, err := batchOf(c, false, linkUp("red", "d0")); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("one batch too many: %v", err)
	}
	if _, err := c.Change(t.Context(), linkUp("red", "d0")); err != nil {
		t.Errorf("a change beside batches: %v", err)
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestAuditIsBrief: what somebody asks for does not fill the log.
func TestAuditIsBrief(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	s := tenancy(t, Options{Audit: zap.New(core)})
	s.must(ownerSet("red", fmt.Sprintf("user:%d", alice), v1.Role_ROLE_ADMIN))
	logs.TakeAll()
	settings := make([]*v1.Setting, 1000)
	for i := range settings {
		settings[i] = &v1.Setting{Name: "martians", Value: "rfc1812"}
	}
	c := s.as(alice)
	if _, err := c.Change(t.Context(), addrAdd("red", strings.Repeat("d", 20000), "10.0.0.1/24")); err == nil {
		t.Error("that is no device")
	}
	if _, err := c.Change(t.Context(), &v1.ChangeRequest{Op: &v1.ChangeRequest_NetnsSet{NetnsSet: &v1.NetnsSet{
		Name: "red", Settings: settings}}}); err != nil {
		t.Error(err)
	}
	lines := logs.TakeAll()
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, l := range lines {
		if text := fmt.Sprint(l.ContextMap()); len(text) > 5000 || !strings.Contains(text, "...") {
			t.Errorf("%d bytes: %.1000s", len(text), text)
		}
	}
}

// TestMayRead: a file system asks with what the kernel tells of a reader: the user, the group, and the process, whose groups and
// Linux namespace count.
func TestMayRead(t *testing.T) {
	home, err := netns.Anonymous()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	s := tenancy(t, Options{AdminGroup: 64099, Hosts: &listedHosts{redInode: home.Inode()}})
	s.must(ownerSet("red", fmt.Sprintf("user:%d", alice), v1.Role_ROLE_READ),
		ownerSet("blue", fmt.Sprintf("group:%d", tenants), v1.Role_ROLE_READ))
	process := func(uid uint32, groups ...uint32) uint32 {
		cmd := exec.CommandContext(t.Context(), "sleep", "60")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: groups}}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
		return uint32(cmd.Process.Pid)
	}
	outside, member, operator := process(bob), process(bob, 7, tenants), process(bob, 64099)
	var inside uint32
	if err := home.Do(func() error { inside = process(bob); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, try := range []struct {
		uid, gid, pid uint32
		want          string
	}{
		{0, 0, outside, "red blue other void"}, {bob, bob, operator, "red blue other void"}, {alice, alice, outside, "red"},
		{bob, bob, outside, ""}, {bob, bob, member, "blue"}, {bob, tenants, outside, "blue"}, {bob, bob, inside, "red"},
		{alice, alice, 0, "red"}, {bob, bob, 1 << 30, ""},
	} {
		var got []string
		for _, ns := range []string{"red", "blue", "other", "void"} {
			if s.server.MayRead(try.uid, try.gid, try.pid, ns) {
				got = append(got, ns)
			}
		}
		if strings.Join(got, " ") != try.want {
			t.Errorf("%+v: may read %q", try, got)
		}
	}
	if s.server.MayRead(bob, bob, process(0), "red") {
		t.Error("root's process makes no other user root")
	}
	if s.server.may(context.Background(), toRead, "red") {
		t.Error("nobody may read")
	}
}
