"""What tests share: constructed items, scripted models, and contexts made of them."""
