package cpus_test

import (
	"slices"
	"testing"

	"weft/engine/host/cpus"
)

func TestParseHex(t *testing.T) {
	for text, want := range map[string]cpus.Set{
		"0x33": {0, 1, 4, 5}, "33": {0, 1, 4, 5}, "0XfF": {0, 1, 2, 3, 4, 5, 6, 7}, "0": nil,
		"10000000000000000": {64}, "0000000000000000000000000000000002": {1},
	} {
		if got, err := cpus.ParseHex(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0x", "3g", "-1", "1,2", "0x0x1"} {
		if got, err := cpus.ParseHex(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func FuzzHex(f *testing.F) {
	f.Add("0x33")
	f.Add("ff0000000000000000")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := cpus.ParseHex(text)
		if err == nil && (!slices.IsSorted(set) || len(set) > 0 && set[0] < 0) {
			t.Errorf("%q is %v", text, set)
		}
	})
}

func FuzzCPUList(f *testing.F) {
	f.Add("0-3,8")
	f.Add("")
	f.Add("8191,5-2")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := cpus.Parse(text)
		if err != nil {
			return
		}
		again, err := cpus.Parse(set.String())
		if err != nil || again.String() != set.String() {
			t.Errorf("%q is %s, then %s, %v", text, set, again, err)
		}
	})
}

func FuzzCPUMask(f *testing.F) {
	f.Add("ffffffff,0000000f")
	f.Add("3")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := cpus.ParseMask(text)
		if err != nil {
			return
		}
		again, err := cpus.ParseMask(set.Mask())
		if err != nil || again.String() != set.String() {
			t.Errorf("%q is %s, then %s, %v", text, set, again, err)
		}
	})
}
