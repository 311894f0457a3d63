package storage
import ("testing";"ottla/internal/vfs";"syscall";"fmt";"log/slog";"os")
func TestZZ(t *testing.T) {
	f := newFaultRun(t, 5)
	clean := newFaultRun(t, 5); clean.run()
	total := clean.fs.Count(vfs.OpAny)
	for i := 0; i < total; i += max(1,total/150) {
		f = newFaultRun(t, 5)
		var ev vfs.Event
		f.fs.Add(vfs.Rule{Skip: i, Count: 1, Err: syscall.EIO, Hook: func(e vfs.Event) { ev = e }})
		func() {
			defer func() { if t.Failed() { fmt.Println(i, ev, f.failed) } }()
			f.run()
		}()
	}
}
func TestZY(t *testing.T) {
	f := newFaultRun(t, 5)
	f.o.Log = slog.New(slog.NewTextHandler(os.Stdout, nil))
	f.fs.Add(vfs.Rule{Op: vfs.OpCreate | vfs.OpWrite | vfs.OpRename | vfs.OpMkdir, Err: syscall.ENOSPC, Short: 13, Skip: 63, Count: 1, Hook: func(e vfs.Event) { fmt.Println("FAULT", e) }})
	f.fs.Add(vfs.Rule{Path: "*19.snapshot", Hook: func(e vfs.Event) { fmt.Println(e) }})
	f.fs.Add(vfs.Rule{Op: vfs.OpSyncDir, Hook: func(e vfs.Event) { fmt.Println(e) }})
	f.fs.Add(vfs.Rule{Op: vfs.OpWrite, Path: "recovery-point", Hook: func(e vfs.Event) { fmt.Println(e) }})
	f.run()
	fmt.Println(f.failed)
	f.after("x")
}
