package server

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/nstable"
)

// batch is a stream of changes being made.
type batch struct {
	server *Server
	ctx    context.Context
	force  bool
	answer *v1.BatchResponse
	done   uint64 // changes made or refused so far
}

// Batch makes changes in their order. Quick ones that follow each other share a transaction.
func (s *Server) Batch(ctx context.Context, stream *connect.ClientStream[v1.BatchRequest]) (*v1.BatchResponse, error) {
	defer s.options.Settle(ctx)
	b := &batch{server: s, ctx: ctx, answer: &v1.BatchResponse{}}
	for first := true; stream.Receive(); first = false {
		part := stream.Msg()
		if first {
			b.force = part.GetForce()
		}
		if !b.part(part.GetChanges()) {
			return b.answer, nil
		}
	}
	return b.answer, stream.Err()
}

// part makes the changes of one message. It returns false where the batch ends at a failure.
func (b *batch) part(changes []*v1.ChangeRequest) bool {
	defer b.server.auditDone()
	defer b.server.holdRights(b.ctx)()
	var quick []step
	for _, req := range changes {
		st, err := b.plan(req)
		if err == nil && st.quick != nil {
			quick = append(quick, st)
			continue
		}
		if !b.bulk(quick) {
			return false
		}
		quick = quick[:0]
		if err == nil {
			err = st.slow()
		}
		b.audit(&st, err)
		if !b.count(err) {
			return false
		}
	}
	return b.bulk(quick)
}

// plan judges a change and reads it.
func (b *batch) plan(req *v1.ChangeRequest) (step, error) {
	ns := b.server.namespace(b.ctx, req.GetNetns())
	err := b.server.judgeChange(b.ctx, ns, req)
	var st step
	if err == nil {
		st, err = b.server.plan(ns, req)
	}
	st.ns, st.req = ns, req
	return st, err
}

func (b *batch) audit(st *step, err error) { b.server.audit(b.ctx, st.ns, st.req, err) }

// bulk makes quick changes in one transaction, each of which succeeds or fails alone. It returns false where the batch
// ends at a failure.
func (b *batch) bulk(steps []step) bool {
	if len(steps) == 0 {
		return true
	}
	failed, err := b.server.table.Bulk(len(steps), b.force, func(tx *nstable.Tx, i int) error {
		_, err := steps[i].quick(tx)
		return err
	})
	if err != nil {
		if rest := len(steps) - 1; rest > 0 { // such as a full disk
			err = fmt.Errorf("%w (nor were the next %d changes made)", err, rest)
		}
		for i := range steps {
			b.audit(&steps[i], err)
		}
		b.fail(b.done, err)
		b.done += uint64(len(steps))
		return b.force
	}
	b.auditBulk(steps, failed)
	for _, f := range failed {
		b.fail(b.done+uint64(f.Index), f.Err)
	}
	b.answer.Applied += uint64(len(steps) - len(failed))
	if len(failed) > 0 && !b.force {
		b.answer.Applied -= uint64(len(steps) - 1 - failed[0].Index) // those after it were not tried
		return false
	}
	b.done += uint64(len(steps))
	return b.goOn()
}

// auditBulk tells of the changes that were made, and of those that were refused; without force none was tried after those.
func (b *batch) auditBulk(steps []step, failed []nstable.Failure) {
	for i := range steps {
		var err error
		if len(failed) > 0 && failed[0].Index == i {
			err, failed = failed[0].Err, failed[1:]
		}
		b.audit(&steps[i], err)
		if err != nil && !b.force {
			return
		}
	}
}

// count notes the result of a slow change and tells whether to go on.
func (b *batch) count(err error) bool {
	if err != nil {
		b.fail(b.done, err)
	} else {
		b.answer.Applied++
	}
	b.done++
	return err == nil || b.goOn()
}

// maxFailures bounds what a batch with force makes the daemon remember for its answer.
const maxFailures = 1 << 16

// goOn tells whether a batch goes on after what failed so far.
func (b *batch) goOn() bool {
	n := len(b.answer.Failures)
	if n < maxFailures {
		return n == 0 || b.force
	}
	b.fail(b.done, fmt.Errorf("%d changes have failed: the batch ends here, and nothing after this line was done", n))
	return false
}

func (b *batch) fail(index uint64, err error) {
	b.answer.Failures = append(b.answer.Failures, &v1.BatchFailure{Index: index, Message: b.server.words(b.ctx, err)})
}
