package node

import (
	"math"
	"strings"
	"testing"

	"ottla/internal/config"
)

// TestBoundDescriptors: files and connections divide the limit, and configured
// values are respected.
func TestBoundDescriptors(t *testing.T) {
	const most = math.MaxInt32
	one, both := []config.Listener{{}}, []config.Listener{{}, {Controller: true}}
	for name, c := range map[string]struct {
		limit              int64
		listeners          []config.Listener
		files, connections int32 // configured
		wantFiles, want    int32
		fails              string
	}{
		"unknown":                  {0, both, 0, most, 0, most, ""},
		"1,024":                    {1024, one, 0, most, 345, 519, ""},
		"a port of controllers":    {1024, both, 0, most, 345, 259, ""},
		"20,000":                   {20000, one, 0, most, 7698, 11549, ""},
		"a million":                {1 << 20, one, 0, most, 406272, 609408, ""},
		"unlimited":                {math.MaxInt64, one, 0, most, 416074905, 624112359, ""},
		"few connections wanted":   {1024, one, 0, 10, 345, 10, ""},
		"many files wanted":        {1024, one, 800, most, 800, 64, ""},
		"few files wanted":         {1024, one, 7, most, 7, 857, ""},
		"files leave nothing":      {1024, one, 864, most, 0, 0, "864 for segments (ottla.open.files.max)"},
		"too few for the node":     {100, one, 0, most, 0, 0, "131 are for the node itself"},
		"too few for both, barely": {134, one, 0, most, 0, 0, "none is left for connections"},
	} {
		cfg := &config.Broker{Listeners: c.listeners, Ottla: config.Own{OpenFilesMax: c.files}, Network: config.Network{MaxConnections: c.connections}}
		err := boundDescriptors(cfg, c.limit)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %v, want …%s…", name, err, c.fails)
			}
			continue
		}
		if err != nil || cfg.Ottla.OpenFilesMax != c.wantFiles || cfg.Network.MaxConnections != c.want {
			t.Errorf("%s: %d files and %d connections, %v; want %d and %d", name, cfg.Ottla.OpenFilesMax, cfg.Network.MaxConnections, err, c.wantFiles, c.want)
		}
	}
}
