package hostside

import (
	"time"

	"go.uber.org/zap"
)

// budget bounds what programs in a namespace can have the router do: a token bucket.
type budget struct {
	perSecond, atOnce float64
	tokens            float64
	last              time.Time
}

// Questions of a namespace for the data plane, a second and at once.
const (
	asksPerSecond = 1000
	asksAtOnce    = 256
)

// Messages in the log about a namespace, a second and at once: programs there can cause any number.
const (
	messagesPerSecond = 1
	messagesAtOnce    = 30
)

func (b *budget) take(now time.Time) bool {
	b.tokens = min(b.tokens+now.Sub(b.last).Seconds()*b.perSecond, b.atOnce)
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// warn logs a message about the link, or counts it where there were too many lately: the next one tells.
func (l *link) warn(message string, fields ...zap.Field) {
	sp := l.space
	if !sp.messages.take(time.Now()) {
		sp.unsaid++
		return
	}
	if sp.unsaid > 0 {
		fields = append(fields, zap.Int("others_not_logged", sp.unsaid))
		sp.unsaid = 0
	}
	l.log().Warn(message, fields...)
}
