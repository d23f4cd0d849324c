package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

// maxMessage bounds what a server may make us hold: all ports of a switch with
// a hundred thousand of them fit.
const maxMessage = 64 << 20

var errTooLong = errors.New("a message of more than 64 MiB")

// message is any message of JSON-RPC 1.0: a request has a method, an answer a
// result or an error. An absent id is null.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  json.RawMessage `json:"error,omitempty"`
}

func null(b json.RawMessage) bool { return len(b) == 0 || bytes.Equal(b, []byte("null")) }

// refusal is the error of a request as a whole, or nil. ovsdb-server says it
// as an object of "error" and "details".
func (m message) refusal() *host.OperationError {
	if null(m.Error) {
		return nil
	}
	var said struct{ Error, Details string }
	if err := json.Unmarshal(m.Error, &said); err != nil || said.Error == "" {
		return &host.OperationError{Kind: string(m.Error)}
	}
	return &host.OperationError{Kind: said.Error, Details: said.Details}
}

// messageReader takes messages off a stream. They follow one another without
// any separator.
type messageReader struct {
	bound   *boundedReader
	decoder *json.Decoder
}

func newMessageReader(r io.Reader, limit int) *messageReader {
	bound := &boundedReader{r: r, limit: limit, left: limit}
	return &messageReader{bound: bound, decoder: json.NewDecoder(bound)}
}

// next returns the next message. io.EOF means that the stream ended between
// two of them.
func (r *messageReader) next() (message, error) {
	var m message
	r.bound.left = r.bound.limit
	err := r.decoder.Decode(&m)
	switch {
	case err == nil || errors.Is(err, io.EOF), errors.Is(err, errTooLong):
		return m, err
	}
	return m, fmt.Errorf("read a JSON-RPC message: %w", err)
}

// boundedReader ends a message that is too long.
type boundedReader struct {
	r           io.Reader
	limit, left int
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	if len(p) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}

// encodeTransact is the params of a transact request.
func encodeTransact(db host.Database, ops []ovsdb.Operation) (json.RawMessage, error) {
	params := make([]any, 0, len(ops)+1)
	params = append(params, string(db))
	for _, op := range ops {
		b, err := row.Encode(op)
		if err != nil {
			return nil, err
		}
		params = append(params, json.RawMessage(b))
	}
	return json.Marshal(params)
}
