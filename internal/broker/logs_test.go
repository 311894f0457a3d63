package broker

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestFloodOfFaults: clients with long and strange names that break the protocol
// leave few and short lines in the log, which tell of all of them.
func TestFloodOfFaults(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start()
		before := len(w.log.String())
		const clients = 1000
		name := kmsg.FormatterClientID("\x1b[2J\nlevel=ERROR" + strings.Repeat("\x01", 28_000))
		versions := kmsg.NewPtrApiVersionsRequest()
		known := kmsg.NewRequestFormatter(name).AppendRequest(nil, versions, 1)
		bad := kmsg.NewRequestFormatter(name).AppendRequest(nil, kmsg.NewPtrMetadataRequest(), 1)
		binary.BigEndian.PutUint16(bad[4:], 9999)
		for range clients {
			c := w.connect(n)
			if _, err := c.conn.Write(known); err != nil {
				t.Fatal(err)
			}
			if _, err := c.frame(); err != nil {
				t.Fatal(err)
			}
			_, _ = c.conn.Write(bad) // the node closes before it has read all
			if _, err := c.frame(); err == nil {
				t.Fatal("an answer")
			}
			synctest.Wait()
		}
		time.Sleep(10 * time.Second) // on the clock of the test: a heartbeat reports what was left out
		text := w.log.String()[before:]
		told := 0
		for line := range strings.Lines(text) {
			if len(line) > 4<<10 || strings.Contains(line, "\x1b") || strings.HasPrefix(line, "level=") {
				t.Fatalf("%d bytes: %q", len(line), line)
			}
			if strings.Contains(line, "api key 9999") {
				told++
			}
			if _, rest, found := strings.Cut(line, "suppressed="); found {
				var more int
				if _, err := fmt.Sscan(rest, &more); err != nil {
					t.Fatal(err)
				}
				told += more
			}
		}
		if told != clients || len(text) > 600<<10 || n.logs.Suppressed() == 0 {
			t.Errorf("%d bytes tell of %d faults; %d left out", len(text), told, n.logs.Suppressed())
		}
	})
}
