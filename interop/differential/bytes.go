package differential

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kbin"
)

// assemble builds raw bytes from words:
//
//	i8:N i16:N i32:N i64:N   integers, big endian
//	uv:N                     an unsigned varint
//	str:TEXT cstr:TEXT       a string with its int16 or compact length
//	nullstr                  a null string
//	hex:0a0b                 bytes
//	zeros:N                  N zero bytes
func assemble(text string) ([]byte, error) {
	var out []byte
	for _, word := range strings.Fields(text) {
		kind, arg, _ := strings.Cut(word, ":")
		var err error
		if out, err = appendWord(out, kind, arg); err != nil {
			return nil, fmt.Errorf("%s: %w", word, err)
		}
	}
	return out, nil
}

func appendWord(out []byte, kind, arg string) ([]byte, error) {
	switch kind {
	case "str":
		return kbin.AppendString(out, arg), nil
	case "cstr":
		return kbin.AppendCompactString(out, arg), nil
	case "nullstr":
		return kbin.AppendNullableString(out, nil), nil
	case "hex":
		raw, err := hex.DecodeString(arg)
		return append(out, raw...), err
	}
	n, err := strconv.ParseInt(arg, 10, 64)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "i8":
		return kbin.AppendInt8(out, int8(n)), nil
	case "i16":
		return kbin.AppendInt16(out, int16(n)), nil
	case "i32":
		return kbin.AppendInt32(out, int32(n)), nil
	case "i64":
		return kbin.AppendInt64(out, n), nil
	case "uv":
		return kbin.AppendUvarint(out, uint32(n)), nil
	case "zeros":
		return append(out, make([]byte, n)...), nil
	}
	return nil, errors.New("unknown word")
}
