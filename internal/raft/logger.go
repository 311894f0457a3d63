package raft

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
)

// etcdLogger is raft's logger. What raft tells is of interest to who debugs an
// election only.
type etcdLogger struct{ log *slog.Logger }

// raftFault is what raft panics with when its storage fails or an invariant of
// its own breaks. Node turns it into the error that it stops with.
type raftFault struct{ message string }

func (f raftFault) Error() string { return "raft: " + f.message }

// guard turns a panic of raft about its storage into an error: raft panics with
// the error that its storage returned, or through its logger. Any other panic is
// a fault of this program and goes on.
func guard(f func() error) (err error) {
	defer func() {
		switch fault := recover().(type) {
		case nil:
		case runtime.Error:
			panic(fault)
		case error:
			err = fault
		default:
			panic(fault)
		}
	}()
	return f()
}

func (l *etcdLogger) at(level slog.Level, v ...any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, fmt.Sprint(v...))
	}
}

func (l *etcdLogger) atf(level slog.Level, format string, v ...any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, fmt.Sprintf(format, v...))
	}
}

func (l *etcdLogger) Debug(v ...any)                   { l.at(slog.LevelDebug, v...) }
func (l *etcdLogger) Debugf(format string, v ...any)   { l.atf(slog.LevelDebug, format, v...) }
func (l *etcdLogger) Info(v ...any)                    { l.at(slog.LevelDebug, v...) }
func (l *etcdLogger) Infof(format string, v ...any)    { l.atf(slog.LevelDebug, format, v...) }
func (l *etcdLogger) Warning(v ...any)                 { l.at(slog.LevelWarn, v...) }
func (l *etcdLogger) Warningf(format string, v ...any) { l.atf(slog.LevelWarn, format, v...) }
func (l *etcdLogger) Error(v ...any)                   { l.at(slog.LevelError, v...) }
func (l *etcdLogger) Errorf(format string, v ...any)   { l.atf(slog.LevelError, format, v...) }

// Fatal and Panic must not return: raft relies on it.
func (l *etcdLogger) Fatal(v ...any)                 { panic(raftFault{fmt.Sprint(v...)}) }
func (l *etcdLogger) Fatalf(format string, v ...any) { panic(raftFault{fmt.Sprintf(format, v...)}) }
func (l *etcdLogger) Panic(v ...any)                 { panic(raftFault{fmt.Sprint(v...)}) }
func (l *etcdLogger) Panicf(format string, v ...any) { panic(raftFault{fmt.Sprintf(format, v...)}) }
