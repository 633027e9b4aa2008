// Package api holds the schema of the control API: nsrouter/v1/*.proto, and the Go code that buf generates from it.
//
// The service is served with connect over a unix socket: it can be used with connect, with gRPC, and with curl and JSON:
//
//	curl --unix-socket /run/router/router.sock -H 'Content-Type: application/json' \
//	     -d '{"netns": "red", "linkSet": {"name": "p1", "up": true}}' http://router/nsrouter.v1.RouterService/Change
package api

//go:generate buf generate
