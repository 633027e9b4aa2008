package server

import (
	"fmt"
	"os"
	"testing"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// TestChangeFor: a change that is asked for by a file is judged by who asks, as by the socket, and has its line in the log.
func TestChangeFor(t *testing.T) {
	core, logged := observer.New(zap.InfoLevel)
	s := tenancy(t, Options{Audit: zap.New(core)})
	s.must(ownerSet("red", fmt.Sprintf("user:%d", alice), v1.Role_ROLE_ADMIN))
	logged.TakeAll()
	set := func(name, value string) *v1.ChangeRequest {
		return &v1.ChangeRequest{Netns: "red", Op: &v1.ChangeRequest_NetnsSet{NetnsSet: &v1.NetnsSet{
			Name: "red", Settings: []*v1.Setting{{Name: name, Value: value}},
		}}}
	}
	for _, try := range []struct {
		uid         uint32
		name, value string
		want        connect.Code // 0: it is done
	}{
		{0, "ip-forward", "0", 0}, {0, "max-routes", "9", 0}, {alice, "ip-forward", "1", 0},
		{0, "ip-forward", "2", connect.CodeInvalidArgument},
		{alice, "max-routes", "0", connect.CodePermissionDenied}, {bob, "ip-forward", "0", connect.CodePermissionDenied},
	} {
		err := s.server.ChangeFor(try.uid, try.uid, uint32(os.Getpid()), set(try.name, try.value))
		if err == nil && try.want != 0 || err != nil && connect.CodeOf(err) != try.want {
			t.Errorf("%+v: %v", try, err)
		}
		lines := logged.TakeAll()
		if len(lines) != 1 || lines[0].ContextMap()["uid"] != try.uid || lines[0].ContextMap()["comm"] == "" {
			t.Errorf("%+v: logged %v", try, lines)
		}
	}
	ns, err := s.table.Namespace("red")
	if err != nil || ns.Settings().NoForward4 || ns.Settings().MaxRoutes != 9 {
		t.Errorf("%v: %+v", err, ns.Settings())
	}
}
