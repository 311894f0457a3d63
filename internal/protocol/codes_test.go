package protocol

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestCodeNames(t *testing.T) {
	// franz-go kept the name from before Kafka 2.6.
	renamed := map[Code]bool{NotLeaderOrFollower: true}
	for code := UnknownServerError; code <= ShareSessionLimitReached; code++ {
		if !code.Known() || code.Name() == "" || (code.Message() == "") != (code == None) {
			t.Errorf("%d: %q, %q", code, code.Name(), code.Message())
		}
		if known := (*kerr.Error)(nil); code != None && errors.As(kerr.ErrorForCode(int16(code)), &known) && known.Code == int16(code) && known.Message != code.Name() && !renamed[code] {
			t.Errorf("%d: %s, franz-go has %s", code, code.Name(), known.Message)
		}
	}
	for _, code := range []Code{-2, -32768, ShareSessionLimitReached + 1, 32767} {
		if code.Known() || code.Name() != "UNKNOWN_SERVER_ERROR" {
			t.Errorf("%d is %s", code, code.Name())
		}
	}
}

func TestErrors(t *testing.T) {
	err := fmt.Errorf("room: %w", Errorf(InvalidConfig, "Invalid value %d", 5))
	if !errors.Is(err, InvalidConfig) || CodeOf(err) != InvalidConfig || *MessageOf(err) != "Invalid value 5" {
		t.Errorf("%v", err)
	}
	if err.Error() != "room: INVALID_CONFIG: Invalid value 5" {
		t.Error(err)
	}
	if CodeOf(nil) != None || MessageOf(nil) != nil || CodeOf(errors.New("x")) != UnknownServerError {
		t.Error("nil and strangers")
	}
	if got := *MessageOf(fmt.Errorf("x: %w", NotController)); got != NotController.Message() {
		t.Error(got)
	}
	if got := UnknownTopicID.Error(); got != "UNKNOWN_TOPIC_ID: This server does not host this topic ID." {
		t.Error(got)
	}
	if None.Error() != "NONE" {
		t.Error(None.Error())
	}
}
