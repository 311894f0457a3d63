package cli

import (
	"runtime/debug"
	"strings"
	"testing"
)

// TestBuild: what the linker set comes first, then what the Go command knew.
func TestBuild(t *testing.T) {
	defer func(v, c, d string) { version, commit, date = v, c, d }(version, commit, date)
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}}
	for _, c := range []struct {
		name                      string
		version, commit, date     string
		info                      *debug.BuildInfo
		wantVersion, wantC, wantD string
	}{
		{"nothing known", "", "", "", nil, "devel", "", ""},
		{"go run", "", "", "", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "devel", "", ""},
		{"go build in the repository", "", "", "", &debug.BuildInfo{Main: debug.Module{Version: "v0.1.1-0.2026-abc+dirty"}, Settings: vcs}, "0.1.1-0.2026-abc-dirty", "abc", "2026-01-02T03:04:05Z"},
		{"go install", "", "", "", &debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}}, "0.1.0", "", ""},
		{"release", "0.2.0", "def", "2026-12-01T00:00:00Z", &debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}, Settings: vcs}, "0.2.0", "def", "2026-12-01T00:00:00Z"},
	} {
		version, commit, date = c.version, c.commit, c.date
		b := newBuild(c.info)
		if b.Version != c.wantVersion || b.Commit != c.wantC || b.Date != c.wantD {
			t.Errorf("%s: %+v", c.name, b)
		}
		var out strings.Builder
		b.write(&out)
		for _, want := range []string{"ottla " + c.wantVersion + " (Kafka 4.3.1", b.Go, b.OS + "/" + b.Arch, c.wantC, c.wantD} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is not in %q", c.name, want, out.String())
			}
		}
	}
}
