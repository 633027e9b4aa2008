package procfs

import (
	"errors"
	"syscall"

	"connectrpc.com/connect"
)

// errnoOf is what write(2) says of a change that was refused.
func errnoOf(err error) syscall.Errno {
	var coded *connect.Error
	if !errors.As(err, &coded) {
		return syscall.EIO
	}
	switch coded.Code() {
	case connect.CodeInvalidArgument:
		return syscall.EINVAL
	case connect.CodePermissionDenied:
		return syscall.EPERM
	case connect.CodeNotFound:
		return syscall.ENOENT
	}
	return syscall.EIO
}
