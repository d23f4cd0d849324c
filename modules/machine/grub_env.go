package machine

import (
	"errors"
	"fmt"
	"strings"
)

// An environment block is a file of exactly 1024 bytes, which GRUB writes in
// place, sector by sector (GRUB manual, "Environment block").
const (
	envSize   = 1024
	envHeader = "# GRUB Environment Block\n"
)

// readEnv reads an environment block.
func readEnv(block []byte) (map[string]string, error) {
	if len(block) != envSize {
		return nil, fmt.Errorf("it is %d bytes long and must be %d", len(block), envSize)
	}
	text, ok := strings.CutPrefix(string(block), envHeader)
	if !ok {
		return nil, errors.New("it does not begin as an environment block")
	}
	env := map[string]string{}
	var line strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			line.WriteByte(text[i])
		case c == '\n':
			if name, value, ok := strings.Cut(line.String(), "="); ok && name[:min(1, len(name))] != "#" {
				env[name] = value
			}
			line.Reset()
		default:
			line.WriteByte(c)
		}
	}
	return env, nil
}
