package main

import (
	"io"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// logConfig has logs go to stderr: for people on a terminal, JSON otherwise.
func logConfig() zap.Config {
	config := zap.NewProductionConfig()
	config.EncoderConfig.EncodeTime = zapcore.RFC3339TimeEncoder
	if term.IsTerminal(int(os.Stderr.Fd())) {
		config.Encoding = "console"
		config.EncoderConfig = zap.NewDevelopmentEncoderConfig()
		config.EncoderConfig.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		config.EncoderConfig.EncodeLevel = zapcore.CapitalColorLevelEncoder
	}
	config.DisableCaller, config.DisableStacktrace = true, true
	return config
}

func buildLogger(config *zap.Config, options ...zap.Option) *zap.Logger {
	log, err := config.Build(options...)
	if err != nil {
		// Only a wrong configuration fails, and this one is constant.
		panic(err)
	}
	return log
}

// auditLogger writes to w: every line, also of what is alike in a second, but only with Sync, since many changes are made
// together. The lines that are left are written by stop.
func auditLogger(config *zap.Config, w io.Writer) (log *zap.Logger, stop func()) {
	out := &zapcore.BufferedWriteSyncer{WS: zapcore.AddSync(struct{ io.Writer }{w})} // no fsync, which stderr may not have
	encoder := zapcore.NewJSONEncoder(config.EncoderConfig)
	if config.Encoding == "console" {
		encoder = zapcore.NewConsoleEncoder(config.EncoderConfig)
	}
	log = buildLogger(config, zap.WrapCore(func(zapcore.Core) zapcore.Core {
		return zapcore.NewCore(encoder, out, config.Level)
	}))
	return log.Named("audit"), func() { _ = out.Stop() } // nobody could be told of what it could not write
}
