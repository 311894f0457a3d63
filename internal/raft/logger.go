package raft

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
)

// etcdLogger is raft's logger. Raft's info messages are logged at debug level:
// they are useful only for debugging an election.
type etcdLogger struct{ log *slog.Logger }

// raftFault is the value of raft's panic when its storage fails or an internal
// invariant is violated. Node converts it to the error with which it stops.
type raftFault struct{ message string }

func (f raftFault) Error() string { return "raft: " + f.message }

// guard converts a panic of raft about its storage to an error. Raft panics
// with the error of its storage, or through its logger. Any other panic is a
// bug of this program and is not recovered.
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
