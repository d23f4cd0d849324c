package facts

import (
	"strconv"
	"strings"
)

// count is a number of things; zero for what is none.
func count(text string) int {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

func nodeNumber(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err //nolint:gosec // sixteen bits
}

// cpus are the numbers of a list of the kernel's form "0-3,8".
func cpus(list string) []int {
	numbers := []int{}
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(first, 10, 20)
		if err != nil {
			continue
		}
		b := a
		if isRange {
			if b, err = strconv.ParseUint(last, 10, 20); err != nil {
				continue
			}
		}
		for ; a <= b && len(numbers) < 4*most; a++ {
			numbers = append(numbers, int(a)) //nolint:gosec // twenty bits
		}
	}
	return numbers
}

// memoryOf is MemTotal of proc_meminfo(5) in MiB; the file counts KiB. That of a
// node has lines "Node 0 MemTotal:  4028360 kB".
func memoryOf(meminfo string) int {
	for line := range strings.Lines(meminfo) {
		if _, rest, ok := strings.Cut(line, "MemTotal:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 52)
			if err != nil {
				return 0
			}
			return int(kib / 1024) //nolint:gosec // fifty-two bits
		}
	}
	return 0
}

// pageSize is the size in a name of the form hugepages-2048kB as the kernel's
// argument hugepagesz takes it: 2M. Empty for another name.
func pageSize(name string) string {
	text, ok := strings.CutPrefix(name, "hugepages-")
	text, ok2 := strings.CutSuffix(text, "kB")
	kib, err := strconv.ParseUint(text, 10, 40)
	switch {
	case !ok || !ok2 || err != nil || kib == 0:
		return ""
	case kib%(1<<20) == 0:
		return strconv.FormatUint(kib>>20, 10) + "G"
	case kib%(1<<10) == 0:
		return strconv.FormatUint(kib>>10, 10) + "M"
	}
	return strconv.FormatUint(kib, 10) + "K"
}
