package cli

import (
	"io/fs"
	"strings"
	"testing"
)

// settingsFiles are a user's files in memory.
type settingsFiles map[string][]byte

func (f settingsFiles) streams(env ...string) Streams {
	return Streams{
		Env: append([]string{"HOME=/home/user"}, env...),
		ReadFile: func(name string) ([]byte, error) {
			if content, ok := f[name]; ok {
				return content, nil
			}
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		},
		WriteFile: func(name string, content []byte) error { f[name] = content; return nil },
	}
}

// TestProfiles plays the life of a file of profiles.
func TestProfiles(t *testing.T) {
	files := settingsFiles{}
	for _, step := range []struct {
		args string
		code int
		want string
	}{
		{"profile list", 0, "NAME  SERVERS"},
		{"profile use prod", 2, "there is no profile prod"},
		{"profile create local -b localhost:9092", 0, "created local"},
		{"profile create prod -b a.example:9092,b.example:9092 -X client.rack=b", 0, "created prod"},
		{"profile create nothing", 2, "nothing to save"},
		{"profile create - -b x", 2, "not a valid profile name"},
		{"profile list", 0, "*  local  localhost:9092"},
		{"profile use prd", 2, "did you mean prod?"},
		{"profile use prod", 0, "using prod"},
		{"profile show", 0, "client.rack=b"},
		{"profile use -", 0, "using local"},
		{"profile use -", 0, "using prod"},
		{"profile list --format yaml", 0, "    current: true"},
		{"profile delete prod", 0, "deleted prod"},
		{"profile show", 2, "no profile is in use"},
		{"profile show local --format json", 0, `"bootstrap.servers": "localhost:9092"`},
	} {
		code, out, errs := run(t, files.streams(), strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("%s: exit %d, %q%q; want %d and %q", step.args, code, out, errs, step.code, step.want)
		}
	}
	if files["/home/user/.config/ottla/profiles.yaml"] == nil || len(files) != 1 {
		t.Errorf("files: %q", files)
	}
}

// TestProfileStands: which of the sources of servers counts.
func TestProfileStands(t *testing.T) {
	files := settingsFiles{"/p": []byte("current: one\nprofiles:\n  one: {bootstrap.servers: 'one:1'}\n  two: {bootstrap.servers: 'two:2'}\n"), "/f": []byte("bootstrap.servers=file:3\n")}
	for _, c := range []struct {
		env, args, want string
	}{
		{"", "", "one:1"},
		{"OTTLA_BOOTSTRAP_SERVERS=env:4", "", "env:4"},
		{"OTTLA_PROFILE=two", "", "two:2"},
		{"OTTLA_BOOTSTRAP_SERVERS=env:4", "--profile two", "two:2"},
		{"OTTLA_PROFILE=two", "--profile one", "one:1"},
		{"OTTLA_PROFILE=two", "-F /f", "file:3"},
		{"OTTLA_PROFILE=two", "-F /f -X bootstrap.servers=x:5", "x:5"},
		{"OTTLA_PROFILE=two", "-b flag:6", "flag:6"},
	} {
		a := New(files.streams("OTTLA_CONFIG=/p", c.env))
		cmd, _, err := a.Root.Find([]string{"doctor"})
		if err != nil {
			t.Fatal(err)
		}
		l := a.linkFlags(cmd.PersistentFlags())
		if err := cmd.PersistentFlags().Parse(strings.Fields(c.args)); err != nil {
			t.Fatal(err)
		}
		p, err := l.settings()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := l.bootstrap(p); err != nil || strings.Join(got, ",") != c.want {
			t.Errorf("%s %s: %q, %v; want %s", c.env, c.args, got, err, c.want)
		}
	}
	if code, _, errs := run(t, files.streams("OTTLA_CONFIG=/f"), "topic", "list"); code != ExitUsage || !strings.Contains(errs, "/f: ") {
		t.Errorf("a file that is none: exit %d, %s", code, errs)
	}
}
