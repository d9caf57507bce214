// A static Go binary: goroutines, channels, a child, files.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

func main() {
	var wait sync.WaitGroup
	lines := make(chan string, 4)
	for i := 0; i < 16; i++ {
		wait.Add(1)
		go func(i int) {
			defer wait.Done()
			data, _ := os.ReadFile("/etc/hostname")
			time.Sleep(time.Millisecond)
			lines <- fmt.Sprint(i, len(data))
		}(i)
	}
	go func() { wait.Wait(); close(lines) }()
	for line := range lines {
		_ = line
	}
	_ = exec.Command("/bin/true").Run()
	_, err := os.Open("/nonexistent")
	fmt.Println(err)
}
